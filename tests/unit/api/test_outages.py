"""The database away, SQS away, and both coming back."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.testing.clock import settle
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_testsupport.api_rig import ApiRig, assert_problem
from jobqueue_testsupport.factories import JobFactory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from jobqueue_core.domain.job import Job
    from jobqueue_core.ports.store import Inserted

UNKNOWN = JobFactory()().id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/addJob"),
        ("POST", "/jobs/batch"),
        ("GET", "/status"),
        ("GET", "/jobs"),
        ("GET", f"/jobs/{UNKNOWN}"),
        ("POST", f"/jobs/{UNKNOWN}/cancel"),
        ("POST", f"/jobs/{UNKNOWN}/retry"),
    ],
)
async def test_store_away_is_said_and_back_by_itself(
    rig: ApiRig, client: httpx.AsyncClient, method: str, path: str
) -> None:
    content = b'{"jobs": [{}]}' if path == "/jobs/batch" else None
    rig.store.available = False
    answer = await client.request(method, path, content=content)
    assert_problem(answer, 503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "the store is away" not in answer.text
    rig.store.available = True
    await rig.clock.advance(1)
    assert (await client.request(method, path, content=content)).status_code in {200, 404}


async def test_readiness_follows_the_store(rig: ApiRig, client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json() == {
        "status": "ready",
        "checks": {"store": "ok", "queue": {"default": "ok", "emails": "ok", "orders": "ok"}},
    }
    rig.store.available = False
    await rig.clock.advance(1)
    answer = await client.get("/readyz")
    document = assert_problem(answer, 503, "not_ready")
    assert document["checks"]["store"] == "unreachable"
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    rig.store.available = True
    await rig.clock.advance(1)
    assert (await client.get("/readyz")).status_code == 200


async def test_start_without_the_store() -> None:
    rig = ApiRig()
    rig.store.available = False
    async with rig.serve() as client:
        assert_problem(await client.get("/readyz"), 503, "not_ready")
        assert_problem(await client.post("/addJob"), 503, "store_unavailable")
        rig.store.available = True
        assert_problem(await client.post("/addJob"), 503, "store_unavailable")
        await rig.clock.advance(2)
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.post("/addJob")).status_code == 200


class HangingStore(MemoryJobStore):
    """Inserts hang until they are told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.fail = asyncio.Event()
        self.inserts = 0

    async def insert(self, jobs: Sequence[Job]) -> list[Inserted]:
        del jobs
        self.inserts += 1
        await self.fail.wait()
        msg = "time-out"
        raise StoreUnavailableError(msg)


async def test_those_who_gathered_behind_a_failed_call_are_not_kept_waiting_for_another() -> None:
    store = HangingStore()
    rig = ApiRig(store)
    async with rig.serve() as client:
        requests = [asyncio.create_task(client.post("/addJob")) for _ in range(1000)]
        await settle(50)
        under_way = store.inserts
        store.fail.set()
        answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {503}
    assert store.inserts == under_way


async def test_submissions_waiting_without_end_are_refused() -> None:
    store = HangingStore()
    rig = ApiRig(store)
    async with rig.serve() as client:
        requests = [asyncio.create_task(client.post("/addJob")) for _ in range(5600)]
        await settle(50)
        early = [request.result().status_code for request in requests if request.done()]
        assert early
        assert set(early) == {503}
        store.fail.set()
        await asyncio.gather(*requests)


async def test_sqs_away_neither_fails_nor_unreadies(rig: ApiRig, client: httpx.AsyncClient) -> None:
    rig.queue.faults.away = True
    job_id = (await client.post("/addJob")).json()["jobId"]
    await settle()
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["checks"]["queue"] == {"default": "unreachable", "emails": "ok", "orders": "ok"}
    assert (rig.only_job.id, rig.only_job.sent_at) == (job_id, None)
    rig.queue.faults.away = False
    await rig.clock.advance(6)
    await rig.parts.relay.pay_dues()
    assert [json.loads(body)["jobId"] for body in rig.queue.bodies] == [job_id]
    assert rig.only_job.sent_at is not None


async def test_start_without_sqs() -> None:
    rig = ApiRig(relay={"enabled": True})
    for queue in rig.queues.values():
        queue.faults.away = True
    async with rig.serve() as client:
        assert (await client.get("/readyz")).status_code == 200
        job_id = (await client.post("/addJob")).json()["jobId"]
        for queue in rig.queues.values():
            queue.faults.away = False
        assert rig.queue.bodies == []
        await rig.clock.advance(10)
        assert [json.loads(body)["jobId"] for body in rig.queue.bodies] == [job_id]


async def test_end_sends_what_waits() -> None:
    rig = ApiRig()
    async with rig.serve() as client:
        ids = [(await client.post("/addJob")).json()["jobId"] for _ in range(25)]
    assert [json.loads(body)["jobId"] for body in rig.queue.bodies] == ids
    assert all(job.sent_at is not None for job in rig.store.jobs.values())


async def test_relay_is_begun_again_after_the_unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = ApiRig(relay={"enabled": True})
    failures = [ValueError("unforeseen")]
    due = rig.store.due

    async def due_or_fail(*args: object) -> list[Job]:
        if failures:
            raise failures.pop()
        return await due(*args)  # type: ignore[arg-type] # as it was called

    monkeypatch.setattr(rig.store, "due", due_or_fail)
    async with rig.serve() as client:
        await client.post("/addJob", json={"delaySeconds": 1})
        await rig.clock.advance(10)
    assert failures == []
    assert len(rig.queue.bodies) == 1
