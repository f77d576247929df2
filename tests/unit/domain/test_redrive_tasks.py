from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import JobError, Phase
from jobqueue_core.domain.redrives import (
    LEASE_SECONDS,
    Redrive,
    RedriveState,
    Selection,
    advanced,
    allowance,
    ended,
    is_running_out,
    is_wanted,
    redrive,
    taken,
)
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import FIFO_RULES, RULES

if TYPE_CHECKING:
    from jobqueue_testsupport.factories import JobFactory

TASK = Redrive(id="task", queue="jobs", created_at=START, updated_at=START)


@pytest.mark.parametrize(
    ("selection", "is_all"),
    [(Selection(), True), (Selection("aaaaaaaaaaaa"), False), (Selection(None, ("a",)), False)],
)
def test_without_a_choice_all_are_meant(selection: Selection, is_all: bool) -> None:  # noqa: FBT001
    assert selection.is_all is is_all


def test_without_a_rate_a_batch_goes_at_once() -> None:
    assert allowance(TASK, START) == 500
    assert allowance(advanced(TASK, cursor="c", moved=500, skipped=0, now=START), START) == 500


@pytest.mark.parametrize("per_second", [0.1, 1.0, 7.0, 300.0])
def test_a_rate_is_kept_however_often_it_is_asked_for(per_second: float) -> None:
    task, moved = replace(TASK, per_second=per_second), 0
    turns, seconds = 600, 100.0
    for turn in range(turns + 1):
        now = later(START, turn * seconds / turns)
        number = allowance(task, now)
        if number:
            moved += number
            task = advanced(task, cursor="c", moved=number, skipped=0, now=now)
    assert moved == pytest.approx(per_second * seconds + 1, rel=0.02, abs=1)


def test_a_rate_is_not_made_up_for_after_a_pause() -> None:
    task = advanced(replace(TASK, per_second=10.0), cursor="c", moved=10, skipped=0, now=START)
    assert allowance(task, later(START, 0.5)) == 0
    assert allowance(task, later(START, 1)) == 1
    assert allowance(task, later(START, 1000)) == 21


def test_jobs_that_were_skipped_cost_nothing_of_the_rate() -> None:
    task = advanced(replace(TASK, per_second=1.0), cursor="c", moved=0, skipped=1, now=START)
    assert allowance(task, START) == 1
    assert (task.moved, task.skipped, task.cursor) == (0, 1, "c")


def test_a_task_is_free_until_it_is_taken_and_after_the_lease() -> None:
    assert TASK.is_free(START)
    held = taken(TASK, token="t", now=START)
    assert held.token == "t"
    assert not held.is_free(later(START, LEASE_SECONDS - 0.001))
    assert held.is_free(later(START, LEASE_SECONDS))
    assert not is_running_out(held, START)
    assert is_running_out(held, later(START, LEASE_SECONDS / 2 + 1))


@pytest.mark.parametrize("state", [RedriveState.DONE, RedriveState.CANCELLED])
def test_a_task_that_is_over_is_nobodys(state: RedriveState) -> None:
    over = ended(taken(TASK, token="t", now=START), state, later(START, 1))
    assert (over.state, over.finished_at) == (state, later(START, 1))
    assert not over.is_free(later(START, 1000))


def test_what_had_failed_when_the_task_was_made_is_wanted(job_factory: JobFactory) -> None:
    assert is_wanted(TASK, job_factory(Phase.FAILED))
    assert not is_wanted(TASK, job_factory(Phase.FAILED, finished_at=later(START, 0.001)))
    assert not is_wanted(TASK, job_factory(Phase.FAILED, queue="others"))
    for phase in Phase:
        assert is_wanted(TASK, job_factory(phase)) == (phase is Phase.FAILED)


def test_a_group_is_its_fingerprint(job_factory: JobFactory) -> None:
    task = replace(TASK, selection=Selection("aaaaaaaaaaaa"))
    error = JobError("no", None, "aaaaaaaaaaaa")
    assert is_wanted(task, job_factory(Phase.FAILED, last_error=error))
    assert not is_wanted(task, job_factory(Phase.FAILED, last_error=replace(error, fingerprint="b" * 12)))
    assert not is_wanted(task, job_factory(Phase.FAILED))


def test_a_redriven_job_begins_anew_and_is_due_at_once(job_factory: JobFactory) -> None:
    job = job_factory(Phase.FAILED, attempts=3)
    now = later(START, 60)
    (step,) = redrive([job], rules=RULES, token="t", now=now)
    assert (step.guard.status, step.guard.token) == (job.status, job.lease.token)
    after = step.after
    assert (after.phase, after.attempts, after.due_at, after.sends) == (Phase.QUEUED, 0, now, job.sends + 1)
    assert (after.finished_at, after.expire_at, after.lease.token) == (None, None, "t")


def test_jobs_of_a_queue_with_an_order_are_due_in_it(job_factory: JobFactory) -> None:
    jobs = job_factory.many(3, Phase.FAILED)
    steps = redrive(jobs, rules=FIFO_RULES, token="t", now=START)
    assert [step.after.due_at for step in steps] == [later(START, n / 1000) for n in range(3)]
    steps = redrive(jobs, rules=RULES, token="t", now=START, owed_seconds=5)
    assert {step.after.due_at for step in steps} == {later(START, 5)}
