"""`POST /addJob`: the answer, and what is stored and sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.ids import is_job_id
from jobqueue_core.domain.job import Phase
from jobqueue_core.testing.clock import START, settle
from jobqueue_testsupport.api_rig import ApiRig, assert_problem

if TYPE_CHECKING:
    import httpx

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def sent_ids(rig: ApiRig, queue: str = "default") -> list[str]:
    return [json.loads(body)["jobId"] for body in rig.queues[queue].bodies]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"headers": {"content-type": "application/json"}}, id="media type only"),
        pytest.param({"headers": {"content-type": "text/plain"}}, id="other media type, no body"),
        pytest.param({"json": {}}, id="empty object"),
        pytest.param({"content": b'{"payload": {}}'}, id="no media type"),
        pytest.param(
            {"content": b"{}", "headers": {"content-type": "application/vnd.jobs+json; charset=utf-8"}},
            id="json by suffix",
        ),
    ],
)
async def test_answers_exactly_as_the_contract_says(
    rig: ApiRig, client: httpx.AsyncClient, request_: dict[str, object]
) -> None:
    answer = await client.post("/addJob", **request_)  # type: ignore[arg-type] # keywords of httpx
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    job = rig.only_job
    assert answer.json() == {"message": "Job added successfully", "jobId": job.id}
    assert is_job_id(job.id)
    assert (job.queue, job.payload, job.phase, job.max_attempts) == ("default", {}, Phase.QUEUED, 3)


async def test_every_field_is_stored(rig: ApiRig, client: httpx.AsyncClient) -> None:
    body = {
        "queue": "orders",
        "payload": {"order": 1815, "deep": [{"a.b": None}, 1.5, "é"], "$where": True},
        "idempotencyKey": "order-1815",
        "delaySeconds": 60,
        "maxAttempts": 5,
        "timeoutSeconds": 10,
        "orderingKey": "customer-7",
        "labels": {"team": "billing/eu", "v": "1.2_3"},
    }
    answer = await client.post("/addJob", json=body, headers={"traceparent": TRACEPARENT})
    assert answer.status_code == 200
    job = rig.only_job
    assert job.queue == "orders"
    assert job.payload == body["payload"]
    assert job.idempotency_key == "order-1815"
    assert job.run_at == START + timedelta(seconds=60)
    assert job.max_attempts == 5
    assert job.timeout_seconds == 10
    assert job.ordering_key == "customer-7"
    assert job.labels == body["labels"]
    assert job.traceparent == TRACEPARENT


async def test_stored_job_is_sent_and_noted(rig: ApiRig, client: httpx.AsyncClient) -> None:
    job_id = (await client.post("/addJob")).json()["jobId"]
    await settle()
    assert sent_ids(rig) == [job_id]
    await rig.parts.submissions.close()
    assert rig.only_job.sent_at == START
    assert rig.metric("jobqueue_jobs_submitted_total", queue="default") == 1


@pytest.mark.parametrize("when", ["2026-01-01T13:00:00Z", "2026-01-01T14:30:00.0+01:30"])
async def test_job_for_later_is_left_to_the_relay(rig: ApiRig, client: httpx.AsyncClient, when: str) -> None:
    answer = await client.post("/addJob", json={"runAt": when})
    await settle()
    job = rig.only_job
    assert answer.json()["jobId"] == job.id
    assert job.phase is Phase.SCHEDULED
    assert job.run_at == datetime(2026, 1, 1, 13, tzinfo=UTC)
    assert rig.queue.bodies == []
    await rig.clock.advance(3600)
    await rig.parts.relay.pay_dues()
    assert sent_ids(rig) == [job.id]


@pytest.mark.parametrize("body", [{"runAt": "1999-01-01T00:00:00Z"}, {"delaySeconds": 0}, {"runAt": None}])
async def test_job_whose_time_has_come_is_queued(
    rig: ApiRig, client: httpx.AsyncClient, body: dict[str, object]
) -> None:
    # 1999 is long before the clock of the test.
    assert (await client.post("/addJob", json=body)).status_code == 200
    assert rig.only_job.phase is Phase.QUEUED


@pytest.mark.parametrize("by_header", [True, False])
async def test_replay_answers_the_same_job(
    rig: ApiRig, client: httpx.AsyncClient, *, by_header: bool
) -> None:
    headers = {"Idempotency-Key": "k-1"} if by_header else {}
    body = {"payload": {"n": 1}} | ({} if by_header else {"idempotencyKey": "k-1"})
    first = await client.post("/addJob", json=body, headers=headers)
    again = await client.post("/addJob", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    await settle()
    assert sent_ids(rig) == [rig.only_job.id]
    assert rig.metric("jobqueue_jobs_submitted_total", queue="default") == 1


async def test_header_alone_makes_an_empty_job_replayable(rig: ApiRig, client: httpx.AsyncClient) -> None:
    answers = [await client.post("/addJob", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert {answer.json()["jobId"] for answer in answers} == {rig.only_job.id}


async def test_same_key_in_header_and_body_is_one_key(rig: ApiRig, client: httpx.AsyncClient) -> None:
    answer = await client.post("/addJob", json={"idempotencyKey": "k"}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 200
    assert rig.only_job.idempotency_key == "k"


async def test_same_key_with_other_content_conflicts(rig: ApiRig, client: httpx.AsyncClient) -> None:
    await client.post("/addJob", json={"idempotencyKey": "k", "payload": {"n": 1}})
    answer = await client.post("/addJob", json={"idempotencyKey": "k", "payload": {"n": 2}})
    assert_problem(answer, 409, "idempotency_conflict", {"idempotencyKey": "must be new"})
    assert rig.only_job.payload == {"n": 1}


async def test_key_stands_for_a_day_and_then_comes_with_another_job(
    rig: ApiRig, client: httpx.AsyncClient
) -> None:
    one, two = ({"idempotencyKey": "k", "payload": {"n": n}} for n in (1, 2))
    first = await client.post("/addJob", json=one)
    rig.clock.move(86_400 - 0.001)
    assert (await client.post("/addJob", json=one)).headers["idempotency-replayed"] == "true"
    assert_problem(await client.post("/addJob", json=two), 409, "idempotency_conflict")
    rig.clock.move(0.001)
    second = await client.post("/addJob", json=two)
    assert (second.status_code, second.headers.get("idempotency-replayed")) == (200, None)
    assert second.json()["jobId"] != first.json()["jobId"]
    assert (await client.post("/addJob", json=two)).json() == second.json()
    assert_problem(await client.post("/addJob", json=one), 409, "idempotency_conflict")
    assert [job.payload for job in rig.store.jobs.values()] == [{"n": 1}, {"n": 2}]


async def test_how_long_a_key_stands_is_a_setting() -> None:
    rig = ApiRig(api={"idempotency_seconds": 60})
    async with rig.serve() as client:
        answers = []
        for wait_seconds in (0, 59, 1):
            rig.clock.move(wait_seconds)
            answers.append(await client.post("/addJob", headers={"Idempotency-Key": "k"}))
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true", None]
    assert len(rig.store.jobs) == 2


async def test_key_belongs_to_its_queue(rig: ApiRig, client: httpx.AsyncClient) -> None:
    for queue in ("default", "emails"):
        assert (await client.post("/addJob", json={"idempotencyKey": "k", "queue": queue})).status_code == 200
    assert {job.queue for job in rig.store.jobs.values()} == {"default", "emails"}


@pytest.mark.parametrize(
    "malformed",
    [
        "hello",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
async def test_malformed_traceparent_is_dropped(
    rig: ApiRig, client: httpx.AsyncClient, malformed: str
) -> None:
    assert (await client.post("/addJob", headers={"traceparent": malformed})).status_code == 200
    assert rig.only_job.traceparent is None


async def test_many_submissions_at_once_are_all_stored(rig: ApiRig, client: httpx.AsyncClient) -> None:
    requests = (await client.post("/addJob", json={"payload": {"n": n}}) for n in range(300))
    ids = [answer.json()["jobId"] async for answer in requests]
    assert [rig.store.jobs[job_id].payload for job_id in ids] == [{"n": n} for n in range(300)]
