"""Recurring jobs of the settings' queues and of JobQueues, as the API runs and shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from jobqueue_core.domain.ids import made_at
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START, settle
from jobqueue_testsupport.api_rig import ApiRig, assert_problem
from jobqueue_testsupport.fake_cluster import FakeCluster, jobqueue

if TYPE_CHECKING:
    import httpx

HOUR = 3600
HOURLY = {"hourly": {"cron": "0 * * * *", "payload": {"n": 1}, "labels": {"team": "x"}}}
OURS = {"name": "ours", "cron": "30 * * * *", "timeZone": "Europe/Berlin", "missed": "all", "maxAttempts": 7}


async def look(rig: ApiRig) -> None:
    """Let the relay do what it does at each look."""
    await rig.parts.relay.pay_dues()
    for chore in rig.parts.relay._chores:  # noqa: SLF001 - one look, without its pauses
        while await chore.turn():
            await rig.parts.relay.pay_dues()


async def schedules(client: httpx.AsyncClient, queue: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/queues/{queue}/schedules")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["schedules"]
    return found


async def test_a_due_time_becomes_a_job_that_is_sent_and_shown() -> None:
    rig = ApiRig(schedules=HOURLY)
    async with rig.serve() as client:
        await look(rig)
        rig.clock.move(HOUR)
        await look(rig)
        job = rig.only_job
        assert (job.phase, job.queue, job.payload) == (Phase.QUEUED, "default", {"n": 1})
        assert len(rig.queue.bodies) == 1
        shown = (await client.get(f"/jobs/{job.id}")).json()
        assert shown["labels"] == {"team": "x", "schedule": "hourly"}
        assert made_at(job.id) == later(START, HOUR)
        assert rig.metric("jobqueue_scheduled_runs_total", queue="default") == 1
        assert rig.metric("jobqueue_jobs_submitted_total", queue="default") == 0
        assert rig.metric("jobqueue_relay_resent_total", queue="default") is None


async def test_schedules_are_shown_with_their_last_and_next_time() -> None:
    asleep = {"cron": "0 3 * * *", "time_zone": "Europe/Berlin", "missed": "skip", "suspended": True}
    rig = ApiRig(schedules={**HOURLY, "asleep": asleep})
    async with rig.serve() as client:
        hourly, _ = await schedules(client, "default")
        assert (hourly["lastRunAt"], hourly["nextRunAt"]) == (None, "2026-01-01T13:00:00.000Z")
        await look(rig)
        rig.clock.move(HOUR + 1)
        await look(rig)
        assert await schedules(client, "default") == [
            {
                "name": "hourly",
                "cron": "0 * * * *",
                "timeZone": "UTC",
                "missed": "latest",
                "suspended": False,
                "lastRunAt": "2026-01-01T13:00:00.000Z",
                "nextRunAt": "2026-01-01T14:00:00.000Z",
            },
            {
                "name": "asleep",
                "cron": "0 3 * * *",
                "timeZone": "Europe/Berlin",
                "missed": "skip",
                "suspended": True,
                "lastRunAt": None,
                "nextRunAt": None,
            },
        ]
        assert await schedules(client, "emails") == []


async def test_schedules_of_an_unknown_queue_and_of_a_store_that_is_away() -> None:
    rig = ApiRig(schedules=HOURLY)
    async with rig.serve() as client:
        assert_problem(await client.get("/queues/nosuch/schedules"), 404, "queue_not_found")
        rig.schedules.available = False
        assert_problem(await client.get("/queues/default/schedules"), 503, "store_unavailable")
        assert await schedules(client, "emails") == []


async def test_a_jobqueue_brings_its_schedules_changes_and_takes_them_along() -> None:
    cluster = FakeCluster(jobqueue("reports", schedules=[OURS]))
    rig = ApiRig(cluster=cluster)
    async with rig.serve() as client:
        await look(rig)
        rig.clock.move(HOUR)
        await look(rig)
        job = rig.only_job
        assert (job.queue, job.max_attempts, job.labels) == ("reports", 7, {"schedule": "ours"})
        (shown,) = await schedules(client, "reports")
        assert (shown["name"], shown["timeZone"], shown["missed"]) == ("ours", "Europe/Berlin", "all")
        cluster.put(jobqueue("reports", schedules=[{**OURS, "cron": "0 0 1 1 *"}]))
        await settle()
        (shown,) = await schedules(client, "reports")
        assert shown["nextRunAt"] == "2026-12-31T23:00:00.000Z"
        cluster.put(jobqueue("reports"))
        await settle()
        assert await schedules(client, "reports") == []
        cluster.put(jobqueue("reports", schedules=[OURS]))
        cluster.delete("reports")
        await settle()
        rig.clock.move(HOUR)
        await look(rig)
        assert rig.only_job == job


async def test_a_suspended_jobqueue_still_gets_its_recurring_jobs() -> None:
    rig = ApiRig(cluster=FakeCluster(jobqueue("reports", schedules=[OURS], suspend="HoldAndDrain")))
    async with rig.serve():
        await look(rig)
        rig.clock.move(HOUR)
        await look(rig)
        assert rig.only_job.queue == "reports"


async def test_a_jobqueue_of_a_queue_of_the_settings_adds_its_schedules_and_the_settings_win() -> None:
    cluster = FakeCluster(jobqueue("mail", queue={"name": "emails"}, schedules=[OURS]))
    rig = ApiRig(cluster=cluster, queues={"emails": {"schedules": {"theirs": {"cron": "5 * * * *"}}}})
    async with rig.serve() as client:
        assert [each["name"] for each in await schedules(client, "emails")] == ["ours", "theirs"]
        clash = {"name": "theirs", "cron": "6 * * * *"}
        cluster.put(jobqueue("mail", queue={"name": "emails"}, schedules=[clash]))
        await settle()
        assert [(each["name"], each["cron"]) for each in await schedules(client, "emails")] == [
            ("theirs", "5 * * * *")
        ]
        cluster.delete("mail")
        await settle()
        assert [each["name"] for each in await schedules(client, "emails")] == ["theirs"]


async def test_a_schedule_that_is_not_understood_costs_the_queue_nothing_else() -> None:
    bad = [
        {"name": "never", "cron": "0 0 31 2 *"},
        {"name": "nowhere", "cron": "0 3 * * *", "timeZone": "Mars/Base"},
        {"cron": "0 3 * * *"},
        {"name": "later", "cron": "0 3 * * *", "unheardOf": 1},
    ]
    with capture_logs() as logs:
        rig = ApiRig(cluster=FakeCluster(jobqueue("reports", schedules=[*bad, OURS])))
        async with rig.serve() as client:
            assert (await client.post("/addJob", json={"queue": "reports"})).status_code == 200
            assert [each["name"] for each in await schedules(client, "reports")] == ["later", "ours"]
    (told,) = [line for line in logs if line["event"] == "schedules not understood"]
    assert told["jobqueue"] == "team/reports"
    assert [fault.partition(":")[0] for fault in told["faults"]] == [
        "spec.schedules[0].cron",
        "spec.schedules[1].time_zone",
        "spec.schedules[2]",
    ]
