"""`GET /queues`: what is known, and null for what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobqueue_api.queues.readings import estimate_drain_seconds, mean_service_seconds
from jobqueue_core.domain.circuit import Circuit
from jobqueue_core.domain.flow import FlowState
from jobqueue_core.domain.heartbeat import Heartbeat
from jobqueue_core.domain.job import Phase
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.api_rig import assert_problem
from jobqueue_testsupport.factories import JobFactory

if TYPE_CHECKING:
    import httpx

    from jobqueue_testsupport.api_rig import ApiRig

BEAT = Heartbeat(
    worker="w1",
    queue="default",
    slots=10,
    busy=3,
    service_seconds=0.5,
    attempts=9,
    retries=1,
    finished=8,
    draining=False,
    started_at=START,
    seen_at=START,
)


async def test_queue_shows_everything(rig: ApiRig, client: httpx.AsyncClient) -> None:
    for _ in range(4):
        await client.post("/addJob")
    for job in JobFactory("default").many(2, Phase.RUNNING) + JobFactory("default", seed=2).many(
        1, Phase.FAILED
    ):
        rig.store.jobs[job.id] = job
    await rig.queue.receive(1, 0)
    rig.store.heartbeats = {
        "w1": BEAT,
        "w2": replace(BEAT, worker="w2", slots=20, busy=5, service_seconds=2.0),
        "stopping": replace(BEAT, worker="stopping", draining=True, service_seconds=None),
        "silent": replace(BEAT, worker="silent", seen_at=START - timedelta(seconds=15)),
        "other": replace(BEAT, worker="other", queue="emails"),
    }
    await rig.clock.advance(2)
    view = (await client.get("/queues/default")).json()
    assert view["messages"] == {"visible": 3, "inFlight": 1, "delayed": 0}
    assert view["deadLetters"] == 0
    assert view["jobs"] == {
        "scheduled": 0,
        "queued": 4,
        "running": 2,
        "retrying": 0,
        "succeeded": 0,
        "failed": 1,
        "cancelled": 0,
    }
    assert view["oldestAgeSeconds"] == 2.0
    assert {worker["worker"] for worker in view["workers"]} == {"w1", "w2", "stopping"}
    assert (view["slots"], view["busy"]) == (30, 11)
    assert view["serviceSeconds"] == 1.5
    assert view["drainSeconds"] == pytest.approx(6 * 1.5 / 30)
    assert (view["name"], view["sqsName"], view["fifo"]) == ("default", "jobs", False)


async def test_idle_queue_is_zero_where_it_is_known(client: httpx.AsyncClient) -> None:
    view = (await client.get("/queues/orders")).json()
    assert view["messages"] == {"visible": 0, "inFlight": 0, "delayed": 0}
    assert (view["oldestAgeSeconds"], view["drainSeconds"], view["slots"], view["workers"]) == (0, 0, 0, [])
    assert view["serviceSeconds"] is None
    assert view["fifo"] is True


async def test_what_sqs_does_not_tell_is_null(rig: ApiRig, client: httpx.AsyncClient) -> None:
    rig.queue.faults.away = True
    view = (await client.get("/queues/default")).json()
    assert (view["messages"], view["deadLetters"]) == (None, None)
    assert view["jobs"]["queued"] == 0


async def test_what_the_store_does_not_tell_is_null(rig: ApiRig, client: httpx.AsyncClient) -> None:
    rig.store.available = False
    view = (await client.get("/queues/default")).json()
    for name in ("jobs", "oldestAgeSeconds", "workers", "slots", "busy", "serviceSeconds", "drainSeconds"):
        assert view[name] is None, name
    assert view["messages"]["visible"] == 0


async def test_a_queue_whose_service_fails_or_asks_for_a_pause_says_so(
    rig: ApiRig, client: httpx.AsyncClient
) -> None:
    now = rig.clock.now().timestamp()
    rig.flows.states["default"] = FlowState(
        "default", version=1, circuit=Circuit(open_until=now + 10), paused_until=now + 20
    )
    view = (await client.get("/queues/default")).json()
    assert (view["circuit"], view["pausedUntil"]) == ("open", "2026-01-01T12:00:20.000Z")
    await rig.clock.advance(15)
    assert (await client.get("/queues/default")).json()["circuit"] == "half-open"
    await rig.clock.advance(5)
    assert (await client.get("/queues/default")).json()["pausedUntil"] is None
    assert (await client.get("/queues/emails")).json()["circuit"] == "closed"
    rig.flows.available = False
    assert (await client.get("/queues/orders")).json()["circuit"] is None


async def test_list_begins_with_the_default_queue(client: httpx.AsyncClient) -> None:
    queues = (await client.get("/queues")).json()["queues"]
    assert [queue["name"] for queue in queues] == ["default", "emails", "orders"]


async def test_many_watchers_cost_one_reading(rig: ApiRig, client: httpx.AsyncClient) -> None:
    before = rig.queue.calls
    for _ in range(10):
        await client.get("/queues/default")
    one_reading = rig.queue.calls - before
    await rig.clock.advance(2)
    await client.get("/queues/default")
    assert rig.queue.calls - before == 2 * one_reading


async def test_unknown_queue(client: httpx.AsyncClient) -> None:
    document = assert_problem(await client.get("/queues/nosuch"), 404, "queue_not_found")
    assert "default, emails, orders" in document["detail"]


@pytest.mark.parametrize(
    ("backlog", "service", "slots", "wanted"),
    [
        (0, None, None, 0.0),
        (10, 0.5, 4, 1.25),
        (10, None, 4, None),
        (10, 0.5, 0, None),
        (10, 0.5, None, None),
    ],
)
def test_drain_estimate(backlog: int, service: float | None, slots: int | None, wanted: float | None) -> None:
    assert estimate_drain_seconds(backlog, service, slots) == wanted


def test_mean_of_nobody_is_unknown() -> None:
    assert mean_service_seconds([]) is None
    assert mean_service_seconds([replace(BEAT, service_seconds=None)]) is None
