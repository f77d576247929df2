"""`POST /jobs/batch`: an answer for every entry, or all or nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.testing.clock import settle
from jobqueue_testsupport.api_rig import assert_problem

if TYPE_CHECKING:
    import httpx

    from jobqueue_testsupport.api_rig import ApiRig

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
GOOD_AND_BAD = {
    "jobs": [{"payload": {"n": 0}}, {"maxAttempts": 0}, {"queue": "nosuch"}, {"payload": {"n": 3}}]
}


async def test_every_entry_has_its_answer(rig: ApiRig, client: httpx.AsyncClient) -> None:
    answer = await client.post("/jobs/batch", json=GOOD_AND_BAD, headers={"traceparent": TRACEPARENT})
    assert answer.status_code == 200
    document = answer.json()
    assert (document["accepted"], document["refused"]) == (2, 2)
    results = document["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    stored = [rig.store.jobs[results[index]["jobId"]] for index in (0, 3)]
    assert [job.payload for job in stored] == [{"n": 0}, {"n": 3}]
    assert {job.traceparent for job in stored} == {TRACEPARENT}
    assert len(rig.store.jobs) == 2
    for index, field in ((1, "maxAttempts"), (2, "queue")):
        problem = results[index]["problem"]
        assert (problem["code"], problem["status"]) == ("validation_failed", 422)
        assert [error["field"] for error in problem["errors"]] == [field]


async def test_good_entries_are_sent_to_their_queues(rig: ApiRig, client: httpx.AsyncClient) -> None:
    jobs = [{"queue": "emails"}, {"queue": "default"}, {"delaySeconds": 60}]
    results = (await client.post("/jobs/batch", json={"jobs": jobs})).json()["results"]
    await settle()
    for result, queue in zip(results[:2], ("emails", "default"), strict=True):
        assert [json.loads(body)["jobId"] for body in rig.queues[queue].bodies] == [result["jobId"]]


async def test_a_thousand_jobs_keep_their_order(rig: ApiRig, client: httpx.AsyncClient) -> None:
    jobs = [{"payload": {"n": n}} for n in range(1000)]
    document = (await client.post("/jobs/batch", json={"jobs": jobs})).json()
    assert document["accepted"] == 1000
    ids = [result["jobId"] for result in document["results"]]
    assert ids == sorted(ids)
    assert [rig.store.jobs[job_id].payload["n"] for job_id in ids] == list(range(1000))
    assert rig.metric("jobqueue_jobs_submitted_total", queue="default") == 1000


async def test_atomic_stores_nothing_when_one_is_bad(rig: ApiRig, client: httpx.AsyncClient) -> None:
    answer = await client.post("/jobs/batch?atomic=true", json=GOOD_AND_BAD)
    fields = {"jobs.1.maxAttempts": "at least 1", "jobs.2.queue": "configured queue"}
    assert_problem(answer, 422, "validation_failed", fields)
    assert rig.store.jobs == {}


async def test_atomic_stores_all_when_all_are_good(rig: ApiRig, client: httpx.AsyncClient) -> None:
    answer = await client.post("/jobs/batch?atomic=true", json={"jobs": [{}, {}]})
    assert [result["created"] for result in answer.json()["results"]] == [True, True]
    assert len(rig.store.jobs) == 2


async def test_replayed_entry_is_accepted_and_not_created(rig: ApiRig, client: httpx.AsyncClient) -> None:
    batch = {"jobs": [{"idempotencyKey": "a"}, {"idempotencyKey": "b"}]}
    first = (await client.post("/jobs/batch", json=batch)).json()
    again = (await client.post("/jobs/batch", json=batch)).json()
    assert [result["jobId"] for result in again["results"]] == [
        result["jobId"] for result in first["results"]
    ]
    assert [result["created"] for result in again["results"]] == [False, False]
    assert len(rig.store.jobs) == 2


@pytest.mark.parametrize("atomic", ["false", "true"])
async def test_conflict_with_a_stored_job_is_told_by_its_entry(
    rig: ApiRig, client: httpx.AsyncClient, atomic: str
) -> None:
    await client.post("/addJob", json={"idempotencyKey": "a"})
    batch = {"jobs": [{"idempotencyKey": "a", "payload": {"n": 2}}, {}]}
    answer = await client.post("/jobs/batch", params={"atomic": atomic}, json=batch)
    conflict, good = answer.json()["results"]
    assert conflict["problem"]["code"] == "idempotency_conflict"
    assert good["created"] is True
    assert len(rig.store.jobs) == 2


async def test_keys_of_a_batch_come_free_each_by_itself(rig: ApiRig, client: httpx.AsyncClient) -> None:
    old = (await client.post("/addJob", json={"idempotencyKey": "old"})).json()
    rig.clock.move(43_200)
    young = (await client.post("/addJob", json={"idempotencyKey": "young"})).json()
    rig.clock.move(43_200)
    entries = [{"idempotencyKey": "old", "payload": {"n": 2}}, {"idempotencyKey": "young"}]
    results = (await client.post("/jobs/batch", json={"jobs": entries})).json()["results"]
    assert [result["created"] for result in results] == [True, False]
    assert results[0]["jobId"] != old["jobId"]
    assert results[1]["jobId"] == young["jobId"]


async def test_conflict_within_the_batch(rig: ApiRig, client: httpx.AsyncClient) -> None:
    entries = [{"idempotencyKey": "a"}, {"idempotencyKey": "a", "payload": {"n": 2}}, {"idempotencyKey": "a"}]
    first, conflict, same = (await client.post("/jobs/batch", json={"jobs": entries})).json()["results"]
    assert conflict["problem"]["code"] == "idempotency_conflict"
    assert (same["jobId"], same["created"]) == (first["jobId"], False)
    assert rig.only_job.payload == {}


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ("", "body", "must be JSON"),
        ("{", "body", "must be JSON"),
        ('{"jobs": [{"payload": {"n": NaN}}]}', "body", "must be JSON"),
        ("[{}]", "body", "must be a JSON object"),
        ("{}", "jobs", "is required"),
        ('{"jobs": {}}', "jobs", "must be a list"),
        ('{"jobs": []}', "jobs", "at least 1 and at most 1000"),
        (json.dumps({"jobs": [{}] * 1001}), "jobs", "at least 1 and at most 1000"),
        ('{"jobs": [{}], "atomic": true}', "atomic", "is not known"),
        ("[" * 5000, "body", "must be JSON"),
    ],
)
async def test_bad_batch(rig: ApiRig, client: httpx.AsyncClient, body: str, field: str, rule: str) -> None:
    answer = await client.post("/jobs/batch", content=body)
    assert_problem(answer, 422, "validation_failed", {field: rule})
    assert rig.store.jobs == {}


async def test_entry_that_is_no_object(rig: ApiRig, client: httpx.AsyncClient) -> None:
    answer = await client.post("/jobs/batch", content='{"jobs": [7, {"payload": {"n": 1e999}}]}')
    problems = [result["problem"]["errors"][0] for result in answer.json()["results"]]
    assert [problem["field"] for problem in problems] == ["job", "payload"]
    assert rig.store.jobs == {}


@pytest.mark.parametrize(
    ("url", "headers", "field"),
    [
        ("/jobs/batch?atomic=maybe", {}, "atomic"),
        ("/jobs/batch", {"Idempotency-Key": "k"}, "Idempotency-Key"),
    ],
)
async def test_bad_batch_options(
    rig: ApiRig, client: httpx.AsyncClient, url: str, headers: dict[str, str], field: str
) -> None:
    answer = await client.post(url, json={"jobs": [{}]}, headers=headers)
    assert_problem(answer, 422, "validation_failed", {field: "must"})
    assert rig.store.jobs == {}
