"""Queues that the API learns from the JobQueues of its cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from jobqueue_core.domain.job import Phase, Status
from jobqueue_core.testing.clock import settle
from jobqueue_testsupport.api_rig import ApiRig, assert_problem
from jobqueue_testsupport.factories import JobFactory
from jobqueue_testsupport.fake_cluster import FakeCluster, jobqueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from jobqueue_core.domain.job import Job

OLDER, YOUNGER = "2026-01-01T10:00:00Z", "2026-01-01T10:00:01Z"


@pytest_asyncio.fixture
async def cluster() -> FakeCluster:
    """One JobQueue, of a queue that the settings do not have."""
    return FakeCluster(jobqueue("reports"))


@pytest_asyncio.fixture
async def rig(cluster: FakeCluster) -> ApiRig:
    return ApiRig(cluster=cluster)


@pytest_asyncio.fixture
async def client(rig: ApiRig) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.serve() as client:
        yield client


async def submit(client: httpx.AsyncClient, queue: str, **fields: Any) -> str:  # noqa: ANN401 - JSON
    """Submit a job that is accepted; return its id."""
    answer = await client.post("/addJob", json={"queue": queue, **fields})
    assert answer.status_code == 200, answer.text
    await settle()
    return str(answer.json()["jobId"])


async def refused(client: httpx.AsyncClient, queue: str) -> None:
    answer = await client.post("/addJob", json={"queue": queue})
    assert_problem(answer, 422, "validation_failed", {"queue": "must be a configured queue"})


def sent(rig: ApiRig, queue: str) -> list[str]:
    return [json.loads(body)["jobId"] for body in rig.queues[queue].bodies]


def stored(rig: ApiRig, job_id: str) -> Job:
    return rig.store.jobs[job_id]


async def shown(client: httpx.AsyncClient) -> list[str]:
    return [queue["name"] for queue in (await client.get("/queues")).json()["queues"]]


async def test_a_job_may_name_the_queue_of_a_jobqueue(rig: ApiRig, client: httpx.AsyncClient) -> None:
    job_id = await submit(client, "reports")
    assert sent(rig, "reports") == [job_id]
    assert rig.metric("jobqueue_jobs_submitted_total", queue="reports") == 1
    batch = await client.post("/jobs/batch", json={"jobs": [{"queue": "reports"}, {"queue": "nosuch"}]})
    assert (batch.json()["accepted"], batch.json()["refused"]) == (1, 1)


async def test_a_learnt_queue_is_shown_as_any_other(client: httpx.AsyncClient) -> None:
    await submit(client, "reports")
    assert await shown(client) == ["default", "emails", "orders", "reports"]
    view = (await client.get("/queues/reports")).json()
    assert (view["sqsName"], view["jobs"]["queued"], view["messages"]["visible"]) == ("reports", 1, 1)
    checks = (await client.get("/readyz")).json()["checks"]
    assert checks["queue"]["reports"] == "ok"
    assert len((await client.get("/jobs?queue=reports")).json()["jobs"]) == 1


async def test_a_new_jobqueue_is_known_at_once(cluster: FakeCluster, client: httpx.AsyncClient) -> None:
    await refused(client, "invoices")
    cluster.put(jobqueue("invoices"))
    await settle()
    await submit(client, "invoices")


@pytest.mark.parametrize(
    ("queue", "name", "sqs_name", "url", "dead_letter"),
    [
        ({"name": "a"}, "a", "a", None, "a-dead-letter"),
        ({"name": "a.fifo"}, "a", "a.fifo", None, "a-dead-letter.fifo"),
        ({"name": "a", "jobs": "b"}, "b", "a", None, "a-dead-letter"),
        ({"name": "a", "deadLetter": {"name": "graves"}}, "a", "a", None, "graves"),
        ({"url": "http://sqs/1/c.fifo"}, "c", "c.fifo", "http://sqs/1/c.fifo", "c-dead-letter.fifo"),
    ],
)
async def test_names_follow_from_the_spec(
    queue: dict[str, Any], name: str, sqs_name: str, url: str | None, dead_letter: str
) -> None:
    rig = ApiRig(cluster=FakeCluster(jobqueue("any", queue=queue)), sqs={"create": True})
    async with rig.serve() as client:
        await submit(client, name)
    (opened,) = rig.opened
    assert (opened.name, opened.sqs.queue_name, opened.sqs.queue_url) == (name, sqs_name, url)
    assert (opened.sqs.dead_letter_queue_name, opened.sqs.create) == (dead_letter, False)


async def test_rules_are_those_of_the_spec_over_those_of_the_settings(cluster: FakeCluster) -> None:
    retry = {"maxAttempts": 7, "backoff": {"initialSeconds": 1, "factor": 3}, "unheardOf": 1}
    cluster.put(jobqueue("reports", retry=retry))
    rig = ApiRig(
        cluster=cluster,
        retry={"max_attempts": 2, "backoff": {"max_seconds": 99}, "retry_after_max_seconds": 12},
        retention={"failed_seconds": 55},
        sqs={"dead_letter": {"max_receive_count": 30}},
    )
    async with rig.serve() as client:
        assert stored(rig, await submit(client, "reports")).max_attempts == 7
        assert stored(rig, await submit(client, "default")).max_attempts == 2
    rules = rig.parts.directory.rules["reports"]
    policy = rules.retry
    assert (policy.initial_seconds, policy.max_seconds, policy.factor) == (1, 99, 3)
    assert (policy.retry_after_max_seconds, rules.retention.failed_seconds) == (12, 55)


async def test_changed_rules_hold_for_the_next_job(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    assert stored(rig, await submit(client, "reports")).max_attempts == 3
    cluster.put(jobqueue("reports", retry={"maxAttempts": 9}))
    await settle()
    assert stored(rig, await submit(client, "reports")).max_attempts == 9
    assert len(rig.opened) == 1


async def test_a_status_changes_nothing(cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient) -> None:
    entry = rig.parts.directory.entries["reports"]
    cluster.touch("reports", replicas=3)
    cluster.list_again()
    await settle()
    assert rig.parts.directory.entries["reports"] is entry
    await submit(client, "reports")


async def test_a_deleted_jobqueue_takes_no_more_jobs(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    del rig
    cluster.delete("reports")
    await settle()
    await refused(client, "reports")
    assert_problem(await client.get("/queues/reports"), 404, "queue_not_found")
    assert await shown(client) == ["default", "emails", "orders"]


async def test_jobs_of_a_deleted_jobqueue_stay_readable_and_are_sent(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    first = await submit(client, "reports")
    later = await submit(client, "reports", delaySeconds=30)
    cluster.delete("reports")
    await settle()
    assert (await client.get(f"/jobs/{first}")).json()["queue"] == "reports"
    assert len((await client.get("/jobs?queue=reports")).json()["jobs"]) == 2
    await rig.clock.advance(30)
    await rig.parts.relay.pay_dues()
    assert sent(rig, "reports") == [first, later]
    assert (await client.post(f"/jobs/{first}/cancel")).json()["status"] == "CANCELLED"
    retried = await client.post(f"/jobs/{first}/retry")
    assert_problem(retried, 409, "job_not_retryable")


async def test_one_that_is_being_deleted_takes_no_more_jobs_but_keeps_its_name(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    going = jobqueue("reports", created=OLDER)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T11:00:00Z"
    cluster.put(going, jobqueue("reports2", created=YOUNGER, queue={"name": "other", "jobs": "reports"}))
    await settle()
    await refused(client, "reports")
    cluster.delete("reports")
    await settle()
    job_id = await submit(client, "reports")
    assert sent(rig, "reports") == [job_id]
    assert rig.queues["reports"].name == "other"


async def test_a_deletion_that_nobody_told_of_is_found_by_the_next_listing(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    del rig
    cluster.lose("reports")
    cluster.list_again()
    await settle()
    await refused(client, "reports")


async def test_a_jobqueue_made_again_with_another_queue_sends_there(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    before = rig.queues["reports"]
    first = await submit(client, "reports")
    cluster.delete("reports")
    cluster.put(jobqueue("reports", uid="other", queue={"name": "reports2", "jobs": "reports"}))
    await settle()
    second = await submit(client, "reports")
    assert [json.loads(body)["jobId"] for body in before.bodies] == [first]
    assert (rig.queues["reports"].name, sent(rig, "reports")) == ("reports2", [second])


@pytest.mark.parametrize(
    "second",
    [
        jobqueue("z", created=YOUNGER, queue={"name": "other", "jobs": "reports"}),
        jobqueue("a", created=OLDER, uid="uid-zzz", queue={"name": "other", "jobs": "reports"}),
    ],
    ids=["younger", "of the same second"],
)
async def test_of_two_for_one_name_the_older_has_it(second: dict[str, Any]) -> None:
    cluster = FakeCluster(second, jobqueue("reports", created=OLDER))
    rig = ApiRig(cluster=cluster)
    with capture_logs() as logs:
        async with rig.serve() as client:
            await submit(client, "reports")
            assert rig.queues["reports"].name == "reports"
            cluster.list_again()
            await settle()
            told = [line for line in logs if line["event"] == "JobQueue without a queue"]
            assert [line["why"] for line in told] == ["its queue belongs to the older JobQueue team/reports"]
            cluster.delete("reports")
            await settle()
            await submit(client, "reports")
            assert rig.queues["reports"].name == "other"


async def test_two_names_for_one_queue_are_one_too_many(
    cluster: FakeCluster, client: httpx.AsyncClient
) -> None:
    cluster.put(jobqueue("second", created=YOUNGER, queue={"name": "reports", "jobs": "second"}))
    await settle()
    await refused(client, "second")
    await submit(client, "reports")


async def test_the_settings_name_of_a_queue_wins(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    cluster.put(jobqueue("orders-eu", queue={"name": "orders.fifo", "jobs": "eu"}, retry={"maxAttempts": 9}))
    await settle()
    await refused(client, "eu")
    assert stored(rig, await submit(client, "orders")).max_attempts == 3
    assert [queue.name for queue in rig.opened] == ["reports"]
    assert [name for name, _ in cluster.wakes] == ["team/orders-eu"]
    cluster.delete("orders-eu")
    await settle()
    await submit(client, "orders")


async def test_no_jobqueue_takes_the_place_of_a_queue_of_the_settings(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    cluster.put(jobqueue("emails", queue={"name": "other", "jobs": "emails"}))
    await settle()
    job_id = await submit(client, "emails")
    assert (rig.queues["emails"].name, sent(rig, "emails")) == ("emails", [job_id])
    assert cluster.wakes == []


async def test_what_is_not_understood_is_told_and_left_out(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    del rig
    with capture_logs() as logs:
        cluster.put(
            jobqueue("bad", queue={"name": "no such name!"}),
            jobqueue("worse", queue={"jobs": "worse"}),
            jobqueue("good"),
        )
        await settle()
        cluster.list_again()
        await settle()
    told = [line["jobqueue"] for line in logs if line["event"] == "JobQueue not understood"]
    assert told == ["team/bad", "team/worse"]
    await submit(client, "good")


async def test_every_namespace_counts() -> None:
    cluster = FakeCluster(
        jobqueue("a", namespace="one"), jobqueue("b", namespace="two"), namespaces=("one", "two")
    )
    rig = ApiRig(cluster=cluster)
    async with rig.serve() as client:
        await submit(client, "a")
        await submit(client, "b")
        cluster.delete("a", namespace="one")
        cluster.list_again()
        await settle()
        await refused(client, "a")
        await submit(client, "b")


async def test_a_queue_that_is_made_after_its_jobqueue_is_found() -> None:
    rig = ApiRig(cluster=FakeCluster(jobqueue("reports")))
    rig.learnt_away = True
    async with rig.serve() as client:
        job_id = await submit(client, "reports")
        assert sent(rig, "reports") == []
        assert (await client.get("/readyz")).json()["checks"]["queue"]["reports"] == "unreachable"
        rig.queues["reports"].faults.away = False
        await rig.clock.advance(6)
        await rig.parts.relay.pay_dues()
        assert sent(rig, "reports") == [job_id]


async def test_an_api_server_away_at_start_stops_nothing_else() -> None:
    cluster = FakeCluster(jobqueue("reports"))
    cluster.reachable.clear()
    rig = ApiRig(cluster=cluster)
    async with rig.serve() as client:
        assert (await client.get("/readyz")).status_code == 200
        await submit(client, "emails")
        for call in (
            await client.post("/addJob", json={"queue": "reports"}),
            await client.post("/jobs/batch", json={"jobs": [{}, {"queue": "reports"}]}),
        ):
            assert_problem(call, 503, "queues_unknown")
            assert int(call.headers["retry-after"]) > 0
        assert {job.queue for job in rig.store.jobs.values()} == {"emails"}
        cluster.reachable.set()
        await settle()
        await submit(client, "reports")
        await refused(client, "nosuch")


async def test_the_relay_of_a_new_process_puts_off_no_job_of_a_queue_it_has_yet_to_learn() -> None:
    cluster = FakeCluster(jobqueue("reports"))
    cluster.reachable.clear()
    rig = ApiRig(cluster=cluster, relay={"enabled": True})
    job = JobFactory("reports")(Phase.SCHEDULED, due_at=rig.clock.now())
    await rig.store.insert([job])
    async with rig.serve():
        await rig.clock.advance(3)
        assert stored(rig, job.id) == job
        cluster.reachable.set()
        await settle()
        assert sent(rig, "reports") == [job.id]


async def test_the_relay_does_not_wait_for_the_api_server_for_ever() -> None:
    cluster = FakeCluster()
    cluster.reachable.clear()
    rig = ApiRig(cluster=cluster, relay={"enabled": True})
    job = JobFactory("emails")(Phase.SCHEDULED, due_at=rig.clock.now())
    await rig.store.insert([job])
    async with rig.serve():
        await rig.clock.advance(10)
        assert sent(rig, "emails") == [job.id]
        assert stored(rig, job.id).status is Status.PENDING


async def test_errors_list_a_bounded_number_of_queues(
    cluster: FakeCluster, client: httpx.AsyncClient
) -> None:
    cluster.put(*(jobqueue(f"queue-{number}") for number in range(50)))
    await settle(100)
    answer = await client.post("/addJob", json={"queue": "nosuch"})
    document = assert_problem(answer, 422, "validation_failed")
    assert document["detail"].endswith("queue-15 and 34 more")
