"""Jobs for much later than SQS can delay or hide a message: they wait in the store until their time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.times import rfc3339
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.api_rig import assert_problem

if TYPE_CHECKING:
    import httpx

    from jobqueue_testsupport.api_rig import ApiRig

MINUTE, HOUR, DAY = 60, 3600, 86_400
# SQS delays a message by 15 minutes at most, and hides one for 12 hours at most.
DELAYS = [15 * MINUTE, 15 * MINUTE + 1, 12 * HOUR + 1, 40 * DAY, 365 * DAY, 366 * DAY]


@pytest.mark.parametrize("seconds", DELAYS)
@pytest.mark.parametrize("queue", ["emails", "orders"])
@pytest.mark.parametrize("way", ["delaySeconds", "runAt"])
async def test_it_is_parked_and_sent_once_at_its_time(
    rig: ApiRig, client: httpx.AsyncClient, seconds: int, queue: str, way: str
) -> None:
    when = START + timedelta(seconds=seconds)
    body = {"delaySeconds": seconds} if way == "delaySeconds" else {"runAt": rfc3339(when)}
    answer = await client.post("/addJob", json={"queue": queue, **body})
    assert answer.status_code == 200
    assert (rig.only_job.phase, rig.only_job.run_at, rig.only_job.due_at) == (Phase.SCHEDULED, when, when)
    sent = rig.queues[queue]
    for part in (seconds - 1, 0.999):
        rig.clock.move(part)
        await rig.parts.relay.pay_dues()
        await rig.parts.relay.audit()
        assert (sent.bodies, rig.only_job.phase) == ([], Phase.SCHEDULED)
    rig.clock.move(0.001)
    await asyncio.gather(*(rig.parts.relay.pay_dues() for _ in range(3)))
    assert len(sent.bodies) == 1
    assert (rig.only_job.phase, rig.only_job.sent_at) == (Phase.QUEUED, rig.clock.now())


async def test_a_year_is_a_year_whichever_day_it_begins(rig: ApiRig, client: httpx.AsyncClient) -> None:
    rig.clock.move((START.replace(year=2027, month=3) - START).total_seconds())
    leap = {"runAt": "2028-03-01T12:00:00Z"}
    assert (await client.post("/addJob", json=leap)).status_code == 200
    assert_problem(
        await client.post("/addJob", json={"runAt": "2028-03-01T12:00:00.001Z"}),
        422,
        "validation_failed",
        {"runAt": "must be at most 31622400 seconds from now"},
    )


async def test_one_that_waits_long_can_be_cancelled(rig: ApiRig, client: httpx.AsyncClient) -> None:
    await client.post("/addJob", json={"delaySeconds": 300 * DAY})
    rig.clock.move(200 * DAY)
    assert (await client.post(f"/jobs/{rig.only_job.id}/cancel")).json()["status"] == "CANCELLED"
    rig.clock.move(100 * DAY)
    await rig.parts.relay.pay_dues()
    assert rig.queue.bodies == []
