"""Failed jobs over the API: listed, grouped, run again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobqueue_core.domain.fingerprints import fingerprint_of
from jobqueue_core.domain.job import Job, JobError, Phase, Step
from jobqueue_core.domain.message import Message, dead_letter, encode
from jobqueue_core.domain.redrives import RedriveState, Selection, ended, taken
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin, give_up_lost
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.api_rig import ApiRig, assert_problem
from jobqueue_testsupport.factories import RULES, JobFactory

if TYPE_CHECKING:
    import httpx

PATH = "/queues/default/dead-letters"
UNKNOWN_ID = "019c0f5e-7a31-7c42-9d1b-3f6a0c5e8b17"
BUSY, BROKEN = (fingerprint_of(message, code) for message, code in (("busy", 503), ("broken", 422)))


@pytest.fixture
def failed(rig: ApiRig) -> list[Job]:
    """Three failed jobs of one group and one of another, the oldest first, each with its letter."""
    factory = JobFactory("default")
    jobs = []
    for number, error in enumerate([("busy", 503), ("busy", 503), ("broken", 422), ("busy", 503)]):
        factory.now = later(START, number)
        last_error = JobError(*error, fingerprint_of(*error))
        jobs.append(factory(Phase.FAILED, last_error=last_error, attempts=3, due_at=None, step=Step.ANSWERED))
    for job in jobs:
        rig.store.jobs[job.id] = job
        rig.queue.letters.put(dead_letter(job, fifo=False))
    for other in (factory(Phase.QUEUED), JobFactory("emails", seed=2)(Phase.FAILED)):
        rig.store.jobs[other.id] = other
    return jobs


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


async def test_failed_jobs_are_listed_newest_first(client: httpx.AsyncClient, failed: list[Job]) -> None:
    answer = await client.get(PATH)
    assert ids(answer) == [job.id for job in reversed(failed)]
    document = answer.json()
    assert (document["queue"], document["failed"], document["letters"]) == ("default", 4, 4)
    assert document["nextCursor"] is None
    assert document["jobs"][0]["lastError"] == {"message": "busy", "code": 503, "fingerprint": BUSY}


async def test_a_list_goes_on_where_it_ended(client: httpx.AsyncClient, failed: list[Job]) -> None:
    first = await client.get(PATH, params={"limit": 3})
    rest = await client.get(PATH, params={"limit": 3, "cursor": first.json()["nextCursor"]})
    assert ids(first) + ids(rest) == [job.id for job in reversed(failed)]
    assert rest.json()["nextCursor"] is None


async def test_a_group_is_listed_alone(client: httpx.AsyncClient, failed: list[Job]) -> None:
    assert ids(await client.get(PATH, params={"group": BROKEN})) == [failed[2].id]
    assert ids(await client.get(PATH, params={"group": "0" * 12})) == []


async def test_jobs_are_grouped_by_their_error(client: httpx.AsyncClient, failed: list[Job]) -> None:
    document = (await client.get(f"{PATH}/groups")).json()
    assert (document["failed"], document["grouped"], document["letters"]) == (4, 4, 4)
    busy, broken = document["groups"]
    assert busy == {
        "fingerprint": BUSY,
        "count": 3,
        "message": "busy",
        "code": 503,
        "attempts": 3,
        "deaths": 0,
        "lastStep": None,
        "firstFailedAt": "2026-01-01T12:00:00.000Z",
        "lastFailedAt": "2026-01-01T12:00:03.000Z",
        "sampleJobIds": [failed[3].id, failed[0].id],
    }
    assert (broken["fingerprint"], broken["count"]) == (BROKEN, 1)
    assert broken["sampleJobIds"] == [failed[2].id]
    assert len((await client.get(f"{PATH}/groups", params={"limit": 1})).json()["groups"]) == 1


async def test_a_group_of_jobs_that_kill_their_workers_tells_how_far_they_come(
    rig: ApiRig, client: httpx.AsyncClient
) -> None:
    job = JobFactory("default")(max_attempts=9)
    for number in range(3):
        now = later(START, 100.0 * number)
        job = begin(job, owner="w", token=f"b{number}", expires_at=later(now, 60), now=now).after
        job = replace(job, step=Step.CALLING)
        job = give_up_lost(job, rules=RULES, token=f"l{number}", now=later(now, 90)).after
    rig.store.jobs[job.id] = job
    (group,) = (await client.get(f"{PATH}/groups")).json()["groups"]
    assert (group["deaths"], group["lastStep"], group["attempts"]) == (3, "calling", 3)
    assert "3 workers died" in group["message"]


async def test_a_queue_that_does_not_answer_leaves_only_its_count_open(
    rig: ApiRig, client: httpx.AsyncClient, failed: list[Job]
) -> None:
    rig.queue.faults.away = True
    for path in (PATH, f"{PATH}/groups"):
        document = (await client.get(path)).json()
        assert (document["failed"], document["letters"]) == (len(failed), None)


@pytest.mark.parametrize(
    ("path", "query", "field", "words"),
    [
        ("", {"limit": "0"}, "limit", "at least 1"),
        ("", {"limit": "501"}, "limit", "at most"),
        ("", {"group": "nonsense"}, "group", "12 hexadecimal digits"),
        ("", {"cursor": "nonsense"}, "cursor", "nextCursor"),
        ("/groups", {"limit": "101"}, "limit", "at most"),
        ("/foreign", {"limit": "x"}, "limit", "integer"),
    ],
)
async def test_a_bad_query_is_told(
    client: httpx.AsyncClient, path: str, query: dict[str, str], field: str, words: str
) -> None:
    answer = await client.get(PATH + path, params=query)
    assert_problem(answer, 422, "validation_failed", {field: words})


@pytest.mark.parametrize("path", ["", "/groups", "/foreign", "/redrives", f"/redrives/{UNKNOWN_ID}"])
async def test_an_unknown_queue_is_told(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(f"/queues/nosuch/dead-letters{path}"), 404, "queue_not_found")
    answer = await client.post("/queues/nosuch/dead-letters/redrive")
    assert_problem(answer, 404, "queue_not_found")


async def test_letters_of_no_failed_job_are_found(
    rig: ApiRig, client: httpx.AsyncClient, failed: list[Job]
) -> None:
    moved = JobFactory("default", seed=3)()
    rig.queue.letters.put(Message("no json", {"reason": "unreadable", "error": "the body is not JSON"}))
    rig.queue.letters.put(encode(moved, fifo=False), source="jobs")
    document = (await client.get(f"{PATH}/foreign")).json()
    assert (document["lookedAt"], document["complete"]) == (len(failed) + 2, True)
    unreadable, taken_away = document["letters"]
    assert (unreadable["body"], unreadable["jobId"], unreadable["reason"]) == (
        "no json",
        None,
        "the body is not JSON",
    )
    assert taken_away["jobId"] == moved.id
    assert "too often" in taken_away["reason"]
    assert taken_away["receives"] == 1
    # Nothing is hidden from the next one who looks.
    few = (await client.get(f"{PATH}/foreign", params={"limit": 2})).json()
    assert (few["lookedAt"], few["complete"]) == (2, False)


async def test_letters_cannot_be_looked_at_without_sqs(rig: ApiRig, client: httpx.AsyncClient) -> None:
    rig.queue.faults.away = True
    answer = await client.get(f"{PATH}/foreign")
    assert_problem(answer, 503, "queue_unavailable")
    assert "retry-after" in answer.headers


# Redrives


async def order(client: httpx.AsyncClient, body: object = None) -> dict[str, Any]:
    answer = await client.post(f"{PATH}/redrive", content=b"" if body is None else json.dumps(body))
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parametrize("group", [None, BROKEN])
async def test_a_redrive_is_carried_out_by_the_relay(failed: list[Job], group: str | None) -> None:
    rig = ApiRig(relay={"enabled": True})
    rig.store.jobs.update({job.id: job for job in failed})
    for job in failed:
        rig.queue.letters.put(dead_letter(job, fifo=False))
    rig.clock.move(60)
    wanted = [job for job in failed if group in (None, BROKEN if job is failed[2] else BUSY)]
    async with rig.serve() as served:
        made = await order(served, None if group is None else {"group": group})
        assert (made["state"], made["group"], made["jobIds"]) == ("running", group, None)
        await rig.clock.advance(10)
        shown = (await served.get(f"{PATH}/redrives/{made['id']}")).json()
        assert (shown["state"], shown["moved"], shown["skipped"]) == ("done", len(wanted), 0)
        assert shown["finishedAt"] is not None
        assert (await served.get(f"{PATH}/redrives")).json()["redrives"] == [shown]
    assert {job.id for job in rig.store.jobs.values() if job.phase is Phase.QUEUED} == {j.id for j in wanted}
    assert len(rig.queue.bodies) == len(wanted)
    assert len(rig.queue.dead) == len(failed) - len(wanted)
    assert rig.metric("jobqueue_redriven_total", queue="default") == len(wanted)


async def test_failed_jobs_and_letters_are_measured(failed: list[Job]) -> None:
    rig = ApiRig(relay={"enabled": True, "lost_after_seconds": 20})
    rig.store.jobs.update({job.id: job for job in failed})
    async with rig.serve():
        await rig.clock.advance(15)
    assert rig.metric("jobqueue_dead_letters", queue="default", source="jobs") == len(failed)
    assert rig.metric("jobqueue_dead_letters", queue="default", source="queue") == 0


async def test_a_redrive_is_stored_as_asked_for(
    rig: ApiRig, client: httpx.AsyncClient, failed: list[Job]
) -> None:
    names = [failed[1].id, failed[0].id, failed[1].id]
    made = await order(client, {"jobIds": names, "perSecond": 2.5})
    task = rig.redrives.tasks[made["id"]]
    assert task.selection == Selection(None, (failed[0].id, failed[1].id))
    assert (task.queue, task.per_second, task.state) == ("default", 2.5, RedriveState.RUNNING)
    assert (task.created_at, made["createdAt"]) == (START, "2026-01-01T12:00:00.000Z")


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"group": "ALL"}, "group", "12 hexadecimal digits"),
        ({"group": 7}, "group", "12 hexadecimal digits"),
        ({"jobIds": []}, "jobIds", "1 to 1000"),
        ({"jobIds": ["x"]}, "jobIds.0", "job ids"),
        ({"jobIds": [UNKNOWN_ID] * 1001}, "jobIds", "1 to 1000"),
        ({"perSecond": 0}, "perSecond", "above 0"),
        ({"perSecond": 10_001}, "perSecond", "at most 10000"),
        ({"perSecond": "10"}, "perSecond", "number"),
        ({"group": "0" * 12, "jobIds": [UNKNOWN_ID]}, "jobIds", "not come together"),
        ({"groups": "0" * 12}, "groups", "known are group, jobIds, perSecond"),
        ([], "body", "object"),
    ],
)
async def test_a_bad_redrive_is_told_and_not_stored(
    rig: ApiRig, client: httpx.AsyncClient, body: object, field: str, words: str
) -> None:
    answer = await client.post(f"{PATH}/redrive", json=body)
    assert_problem(answer, 422, "validation_failed", {field: words})
    assert rig.redrives.tasks == {}


async def test_a_redrive_must_be_json(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{PATH}/redrive", content="x", headers={"content-type": "text/plain"})
    assert_problem(answer, 415, "unsupported_media_type")
    assert_problem(await client.post(f"{PATH}/redrive", content="{"), 422, "validation_failed")


async def test_a_redrive_is_cancelled_once(rig: ApiRig, client: httpx.AsyncClient) -> None:
    made = await order(client)
    path = f"{PATH}/redrives/{made['id']}"
    task = rig.redrives.tasks[made["id"]]
    await rig.redrives.write(task, taken(task, token="relay", now=START))
    answer = await client.post(f"{path}/cancel")
    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled"
    assert (await client.get(path)).json() == answer.json()
    assert_problem(await client.post(f"{path}/cancel"), 409, "redrive_not_cancellable")


async def test_a_redrive_that_is_done_is_not_cancelled(rig: ApiRig, client: httpx.AsyncClient) -> None:
    made = await order(client)
    task = rig.redrives.tasks[made["id"]]
    rig.redrives.tasks[task.id] = ended(task, RedriveState.DONE, START)
    answer = await client.post(f"{PATH}/redrives/{task.id}/cancel")
    assert_problem(answer, 409, "redrive_not_cancellable")


async def test_a_redrive_belongs_to_its_queue(rig: ApiRig, client: httpx.AsyncClient) -> None:
    made = await order(client)
    for path in (f"/queues/emails/dead-letters/redrives/{made['id']}", f"{PATH}/redrives/{UNKNOWN_ID}"):
        assert_problem(await client.get(path), 404, "redrive_not_found")
        assert_problem(await client.post(f"{path}/cancel"), 404, "redrive_not_found")
    assert (await client.get("/queues/emails/dead-letters/redrives")).json() == {"redrives": []}
    assert rig.redrives.tasks[made["id"]].state is RedriveState.RUNNING


async def test_nothing_is_answered_while_the_store_is_away(rig: ApiRig, client: httpx.AsyncClient) -> None:
    rig.store.available = rig.redrives.available = False
    for path in ("", "/groups", "/redrives", f"/redrives/{UNKNOWN_ID}"):
        assert_problem(await client.get(PATH + path), 503, "store_unavailable")
    assert_problem(await client.post(f"{PATH}/redrive"), 503, "store_unavailable")


async def test_an_error_of_an_earlier_version_has_no_group(rig: ApiRig, client: httpx.AsyncClient) -> None:
    job = JobFactory("default")(Phase.FAILED)
    rig.store.jobs[job.id] = replace(job, last_error=JobError("busy", 503))
    document = (await client.get(f"{PATH}/groups")).json()
    assert (document["failed"], document["grouped"], document["groups"]) == (1, 0, [])
