"""Cancelling and retrying, also while somebody else writes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import Attempt, AttemptOutcome, Lease, Phase
from jobqueue_core.domain.transitions import step
from jobqueue_core.testing.clock import START, settle
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_testsupport.api_rig import ApiRig, assert_problem
from jobqueue_testsupport.factories import JobFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.transitions import Transition

FINAL = [phase for phase in Phase if phase.is_final]
OPEN = [phase for phase in Phase if not phase.is_final]


@pytest.mark.parametrize("phase", OPEN)
async def test_open_job_is_cancelled(rig: ApiRig, client: httpx.AsyncClient, phase: Phase) -> None:
    job = JobFactory("default")(phase)
    rig.store.jobs[job.id] = job
    answer = await client.post(f"/jobs/{job.id}/cancel")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["phase"]) == ("CANCELLED", "cancelled")
    stored = rig.only_job
    assert stored.phase is Phase.CANCELLED
    assert stored.lease.token != job.lease.token
    assert stored.expire_at is not None
    assert rig.metric("jobqueue_jobs_finished_total", queue="default", status="CANCELLED") == 1


@pytest.mark.parametrize("phase", FINAL)
async def test_final_job_is_not_cancelled(rig: ApiRig, client: httpx.AsyncClient, phase: Phase) -> None:
    job = JobFactory("default")(phase)
    rig.store.jobs[job.id] = job
    document = assert_problem(await client.post(f"/jobs/{job.id}/cancel"), 409, "job_not_cancellable")
    assert document["jobStatus"] == job.status.value
    assert rig.only_job == job


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
async def test_given_up_job_runs_again(rig: ApiRig, client: httpx.AsyncClient, phase: Phase) -> None:
    attempt = Attempt(1, AttemptOutcome.REJECTED, START, START, "w", 400)
    job = replace(JobFactory("default")(phase), history=(attempt,))
    rig.store.jobs[job.id] = job
    answer = await client.post(f"/jobs/{job.id}/retry")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["numberOfAttempts"]) == ("PENDING", 0)
    assert len(answer.json()["attempts"]) == 1
    await settle()
    assert [json.loads(body)["jobId"] for body in rig.queue.bodies] == [job.id]
    assert (rig.only_job.phase, rig.only_job.sends) == (Phase.QUEUED, 2)
    assert rig.only_job.expire_at is None


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.FAILED, Phase.CANCELLED)])
async def test_other_job_is_not_retried(rig: ApiRig, client: httpx.AsyncClient, phase: Phase) -> None:
    job = JobFactory("default")(phase)
    rig.store.jobs[job.id] = job
    document = assert_problem(await client.post(f"/jobs/{job.id}/retry"), 409, "job_not_retryable")
    assert document["jobStatus"] == job.status.value
    assert rig.only_job == job
    assert rig.queue.bodies == []


async def test_job_of_a_queue_that_is_gone(rig: ApiRig, client: httpx.AsyncClient) -> None:
    failed, open_ = JobFactory("gone")(Phase.FAILED), JobFactory("gone", seed=2)()
    rig.store.jobs.update({failed.id: failed, open_.id: open_})
    document = assert_problem(await client.post(f"/jobs/{failed.id}/retry"), 409, "job_not_retryable")
    assert "gone" in document["detail"]
    assert (await client.post(f"/jobs/{open_.id}/cancel")).status_code == 200


class RacedStore(MemoryJobStore):
    """Somebody else writes the job just before each of our first writes."""

    def __init__(self, races: int, write: Callable[[Job, int], Job]) -> None:
        super().__init__()
        self.races = races
        self._write_first = write

    async def apply(self, transitions: Sequence[Transition]) -> list[bool]:
        if self.races:
            self.races -= 1
            job = self.jobs[transitions[0].before.id]
            assert await super().apply([step(job, self._write_first(job, self.races))]) == [True]
        return await super().apply(transitions)


def raced(races: int, write: Callable[[Job, int], Job]) -> ApiRig:
    return ApiRig(RacedStore(races, write))


def claimed(job: Job, number: int) -> Job:
    return replace(job, phase=Phase.RUNNING, attempts=job.attempts + 1, lease=Lease(f"theirs-{number}", "w"))


def succeeded(job: Job, number: int) -> Job:
    return replace(job, phase=Phase.SUCCEEDED, lease=Lease(f"theirs-{number}"))


async def test_cancel_is_decided_again_when_a_worker_was_faster() -> None:
    rig = raced(2, claimed)
    job = JobFactory("default")()
    rig.store.jobs[job.id] = job
    async with rig.serve() as client:
        answer = await client.post(f"/jobs/{job.id}/cancel")
    assert answer.status_code == 200
    assert answer.json()["numberOfAttempts"] == 2
    assert rig.only_job.phase is Phase.CANCELLED


async def test_cancel_loses_to_a_job_that_succeeds_meanwhile() -> None:
    rig = raced(1, succeeded)
    job = JobFactory("default")(Phase.RUNNING)
    rig.store.jobs[job.id] = job
    async with rig.serve() as client:
        assert_problem(await client.post(f"/jobs/{job.id}/cancel"), 409, "job_not_cancellable")
    assert rig.only_job.phase is Phase.SUCCEEDED


async def test_cancel_gives_up_on_a_job_that_never_holds_still() -> None:
    rig = raced(100, claimed)
    job = JobFactory("default")()
    rig.store.jobs[job.id] = job
    async with rig.serve() as client:
        answer = await client.post(f"/jobs/{job.id}/cancel")
    assert_problem(answer, 409, "job_busy")
    assert answer.headers["retry-after"] == "1"
    assert rig.only_job.phase is Phase.RUNNING


async def test_second_retry_is_refused(rig: ApiRig, client: httpx.AsyncClient) -> None:
    job = JobFactory("default")(Phase.FAILED)
    rig.store.jobs[job.id] = job
    answers = [await client.post(f"/jobs/{job.id}/retry") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 409]
    await settle()
    assert len(rig.queue.bodies) == 1
