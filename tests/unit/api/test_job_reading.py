"""`GET /status`, `GET /jobs` and `GET /jobs/{id}`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobqueue_core.domain.job import Attempt, AttemptOutcome, JobError, JobResult, Phase
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.api_rig import assert_problem
from jobqueue_testsupport.factories import JobFactory

if TYPE_CHECKING:
    import httpx

    from jobqueue_core.domain.job import Job
    from jobqueue_testsupport.api_rig import ApiRig

UNKNOWN_ID = "019b796d-d600-734e-bde8-7e2250b8dabe"


def keep(rig: ApiRig, *jobs: Job) -> None:
    rig.store.jobs.update({job.id: job for job in jobs})


async def test_status_answers_exactly_as_the_contract_says(rig: ApiRig, client: httpx.AsyncClient) -> None:
    jobs = JobFactory("default")
    keep(rig, old := jobs(Phase.SUCCEEDED), new := jobs(Phase.RUNNING))
    answer = await client.get("/status")
    assert answer.status_code == 200
    assert answer.json() == {
        "message": "Job statuses fetched successfully",
        "data": {
            "jobs": [
                {
                    "id": new.id,
                    "status": "PENDING",
                    "numberOfAttempts": 1,
                    "timestamp": "2026-01-01T12:00:00.000Z",
                },
                {
                    "id": old.id,
                    "status": "SUCCESS",
                    "numberOfAttempts": 1,
                    "timestamp": "2026-01-01T12:00:00.000Z",
                },
            ],
            "total_jobs_returned": 2,
        },
    }


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("", 10),
        ("?count=1", 1),
        ("?count=1000", 28),
        ("?count=3&status_type=SUCCESS", 3),
        ("?count=50&status_type=PENDING", 16),
        ("?count=50&status_type=FAILED", 4),
        ("?count=50&status_type=CANCELLED", 4),
        ("?verbose=1", 10),
    ],
)
async def test_status_counts_and_filters(
    rig: ApiRig, client: httpx.AsyncClient, query: str, number: int
) -> None:
    jobs = JobFactory("default")
    keep(rig, *(job for phase in Phase for job in jobs.many(4, phase)))
    data = (await client.get(f"/status{query}")).json()["data"]
    assert data["total_jobs_returned"] == len(data["jobs"]) == number


@pytest.mark.parametrize(
    ("query", "field", "rule", "got"),
    [
        ("count=0", "count", "must be an integer, at least 1 and at most 1000", "0"),
        ("count=1001", "count", "must be an integer, at least 1 and at most 1000", "1001"),
        ("count=abc", "count", "must be an integer, at least 1 and at most 1000", "abc"),
        ("count=", "count", "must be an integer, at least 1 and at most 1000", ""),
        ("count=1e2", "count", "must be an integer, at least 1 and at most 1000", "1e2"),
        ("status_type=DONE", "status_type", "must be one of PENDING, SUCCESS, FAILED, CANCELLED", "DONE"),
        ("status_type=success", "status_type", "must be one of PENDING", "success"),
    ],
)
async def test_status_refuses(client: httpx.AsyncClient, query: str, field: str, rule: str, got: str) -> None:
    document = assert_problem(await client.get(f"/status?{query}"), 422, "validation_failed", {field: rule})
    assert document["errors"][0]["got"] == got


async def test_status_names_both_fields(client: httpx.AsyncClient) -> None:
    answer = await client.get("/status?count=0&status_type=x")
    assert_problem(answer, 422, "validation_failed", {"count": "at least 1", "status_type": "one of"})


async def test_job_shows_every_attempt(rig: ApiRig, client: httpx.AsyncClient) -> None:
    first = Attempt(
        1,
        AttemptOutcome.RETRYABLE,
        START,
        START + timedelta(seconds=0.25),
        "w1",
        code=503,
        error="the external service answered 503",
        next_attempt_at=START + timedelta(seconds=2),
    )
    second = Attempt(2, AttemptOutcome.SUCCEEDED, START, START + timedelta(seconds=1), "w2", code=200)
    job = replace(
        JobFactory("emails")(Phase.SUCCEEDED),
        attempts=2,
        history=(first, second),
        last_error=JobError("the external service answered 503", 503),
        result=JobResult(200, '{"ok":true}'),
        labels={"team": "billing"},
        payload={"a": [1, None]},
    )
    keep(rig, job)
    view = (await client.get(f"/jobs/{job.id}")).json()
    assert view["attempts"] == [
        {
            "number": 1,
            "outcome": "retryable",
            "code": 503,
            "durationSeconds": 0.25,
            "error": "the external service answered 503",
            "startedAt": "2026-01-01T12:00:00.000Z",
            "finishedAt": "2026-01-01T12:00:00.250Z",
            "worker": "w1",
            "nextAttemptAt": "2026-01-01T12:00:02.000Z",
        },
        {
            "number": 2,
            "outcome": "succeeded",
            "code": 200,
            "durationSeconds": 1.0,
            "error": None,
            "startedAt": "2026-01-01T12:00:00.000Z",
            "finishedAt": "2026-01-01T12:00:01.000Z",
            "worker": "w2",
            "nextAttemptAt": None,
        },
    ]
    shown = {
        name: view[name] for name in ("id", "queue", "status", "phase", "numberOfAttempts", "maxAttempts")
    }
    assert shown == {
        "id": job.id,
        "queue": "emails",
        "status": "SUCCESS",
        "phase": "succeeded",
        "numberOfAttempts": 2,
        "maxAttempts": 3,
    }
    assert view["payload"] == {"a": [1, None]}
    assert view["labels"] == {"team": "billing"}
    assert view["lastError"] == {
        "message": "the external service answered 503",
        "code": 503,
        "fingerprint": None,
    }
    assert view["result"] == {"code": 200, "body": '{"ok":true}', "truncated": False}
    assert view["running"] is None
    assert "lease" not in view
    assert job.lease.token not in str(view)


async def test_running_job_shows_the_call_under_way(rig: ApiRig, client: httpx.AsyncClient) -> None:
    keep(rig, job := JobFactory("default")(Phase.RUNNING))
    running = (await client.get(f"/jobs/{job.id}")).json()["running"]
    assert running == {"number": 1, "startedAt": "2026-01-01T12:00:00.000Z", "worker": "worker"}


@pytest.mark.parametrize("job_id", [UNKNOWN_ID, "nosuch", "%00", "x" * 3000])
@pytest.mark.parametrize("call", ["get", "cancel", "retry"])
async def test_job_that_never_was(client: httpx.AsyncClient, job_id: str, call: str) -> None:
    path = f"/jobs/{job_id}"
    answer = await (client.get(path) if call == "get" else client.post(f"{path}/{call}"))
    assert_problem(answer, 404, "job_not_found")
    assert len(answer.content) < 1000


async def test_pages_follow_each_other_to_the_end(rig: ApiRig, client: httpx.AsyncClient) -> None:
    jobs = JobFactory("default").many(7)
    keep(rig, *jobs)
    seen: list[str] = []
    params = {"limit": "3"}
    page: dict[str, Any] = {}
    for size in (3, 3, 1):
        page = (await client.get("/jobs", params=params)).json()
        assert len(page["jobs"]) == size
        seen += [job["id"] for job in page["jobs"]]
        params = {"limit": "3", "cursor": page["nextCursor"]}
    assert page["nextCursor"] is None
    assert seen == [job.id for job in reversed(jobs)]
    assert "payload" not in page["jobs"][0]


async def test_full_last_page_is_the_end(rig: ApiRig, client: httpx.AsyncClient) -> None:
    keep(rig, *JobFactory("default").many(3))
    assert (await client.get("/jobs?limit=3")).json()["nextCursor"] is None


async def test_new_jobs_do_not_move_the_next_page(rig: ApiRig, client: httpx.AsyncClient) -> None:
    factory = JobFactory("default")
    jobs = factory.many(4)
    keep(rig, *jobs)
    cursor = (await client.get("/jobs?limit=2")).json()["nextCursor"]
    keep(rig, *factory.many(5))
    page = (await client.get("/jobs", params={"limit": 2, "cursor": cursor})).json()
    assert [job["id"] for job in page["jobs"]] == [jobs[1].id, jobs[0].id]


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"queue": "emails"}, {"email"}),
        ({"status": "FAILED"}, {"failed"}),
        ({"status": "PENDING"}, {"queued", "email", "early", "late"}),
        ({"phase": "queued", "queue": "default"}, {"queued", "early", "late"}),
        ({"createdAfter": "2026-01-01T13:00:00Z"}, {"late"}),
        ({"createdBefore": "2026-01-01T12:00:00+00:00"}, {"early"}),
        (
            {
                "createdAfter": "2026-01-01T12:00:00Z",
                "createdBefore": "2026-01-01T13:00:00Z",
                "status": "FAILED",
            },
            {"failed"},
        ),
    ],
)
async def test_list_filters(
    rig: ApiRig, client: httpx.AsyncClient, params: dict[str, str], wanted: set[str]
) -> None:
    hour = timedelta(hours=1)
    jobs = {
        "queued": JobFactory("default")(),
        "failed": JobFactory("default", seed=2)(Phase.FAILED),
        "email": JobFactory("emails", seed=3)(),
        "early": JobFactory("default", START - hour)(),
        "late": JobFactory("default", START + hour)(),
    }
    keep(rig, *jobs.values())
    page = (await client.get("/jobs", params=params)).json()
    names = {job.id: name for name, job in jobs.items()}
    assert {names[job["id"]] for job in page["jobs"]} == wanted


@pytest.mark.parametrize(
    ("params", "field", "rule"),
    [
        ({"limit": "0"}, "limit", "at least 1 and at most 500"),
        ({"limit": "501"}, "limit", "at least 1 and at most 500"),
        ({"limit": "many"}, "limit", "must be an integer"),
        ({"status": "DONE"}, "status", "must be one of PENDING, SUCCESS"),
        ({"phase": "DONE"}, "phase", "must be one of scheduled, queued"),
        ({"queue": "nosuch"}, "queue", "must be a configured queue: default, emails, orders"),
        ({"status": "FAILED", "phase": "failed"}, "phase", "must not come together with status"),
        ({"createdAfter": "yesterday"}, "createdAfter", "RFC 3339"),
        ({"createdAfter": "1969-12-31T23:59:59Z"}, "createdAfter", "from 1970"),
        ({"createdBefore": "2026-01-01T12:00:00 01:00"}, "createdBefore", "%2B"),
        ({"cursor": "nosuch"}, "cursor", "must be the nextCursor"),
        ({"cursor": "é"}, "cursor", "must be the nextCursor"),
        ({"cursor": ""}, "cursor", "must be the nextCursor"),
        ({"cursor": "MTpub3N1Y2g"}, "cursor", "must be the nextCursor"),
        ({"cursor": "x" * 300}, "cursor", "must be the nextCursor"),
        ({"stauts": "FAILED"}, "stauts", "is not known; known are queue, status"),
    ],
)
async def test_list_refuses(client: httpx.AsyncClient, params: dict[str, str], field: str, rule: str) -> None:
    assert_problem(await client.get("/jobs", params=params), 422, "validation_failed", {field: rule})
