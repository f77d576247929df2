from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.errors import TransitionNotAllowedError
from jobqueue_core.domain.fingerprints import with_fingerprint
from jobqueue_core.domain.job import (
    HISTORY_LIMIT,
    Attempt,
    AttemptOutcome,
    Job,
    JobError,
    JobResult,
    Lease,
    Phase,
    Status,
    Step,
)
from jobqueue_core.domain.outcome import Outcome, of_answer, of_stopped_worker
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import (
    Guard,
    Transition,
    begin,
    cancel,
    claim_dead_letter,
    claim_send,
    extend,
    finish,
    give_back,
    give_up_lost,
    note_dead_lettered,
    note_sent,
    postpone,
    retry_by_hand,
)
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import FIFO_RULES, RULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobqueue_testsupport.factories import JobFactory

    OneStep = Callable[[Job, datetime], Transition]

GRACE_SECONDS = RULES.relay_grace_seconds
OK = of_answer(200, JobResult(200, "done"))
RETRYABLE = of_answer(503, JobResult(503, "busy"))
REJECTED = of_answer(404, JobResult(404, ""))
LEASE_END = later(START, 60)


def finished(job: Job, outcome: Outcome, now: datetime = START, rules: object = RULES) -> Job:
    return finish(job, outcome, rules=rules, jitter=0.5, token="t2", now=now).after  # type: ignore[arg-type]


STEPS: dict[str, OneStep] = {
    "note_sent": note_sent,
    "note_dead_lettered": note_dead_lettered,
    "begin": lambda job, now: begin(job, owner="w", token="t2", expires_at=later(now, 60), now=now),
    "finish": lambda job, now: finish(job, OK, rules=RULES, jitter=0.0, token="t2", now=now),
    "give_back": lambda job, now: give_back(job, token="t2", now=now),
    "give_up_lost": lambda job, now: give_up_lost(job, rules=RULES, token="t2", now=now),
    "claim_send": lambda job, now: claim_send(job, rules=RULES, token="t2", now=now),
    "claim_dead_letter": lambda job, now: claim_dead_letter(job, rules=RULES, token="t2", now=now),
    "extend": lambda job, now: extend(job, expires_at=later(now, 60)),
    "cancel": lambda job, now: cancel(job, rules=RULES, token="t2", now=now),
    "retry_by_hand": lambda job, now: retry_by_hand(job, rules=RULES, token="t2", now=now),
}
UNFINISHED = {Phase.SCHEDULED, Phase.QUEUED, Phase.RUNNING, Phase.RETRYING}
# From which phases each step leads on, once the job's time has come and no lease is held.
ALLOWED: dict[str, set[Phase]] = {
    "note_sent": {Phase.QUEUED},
    "note_dead_lettered": {Phase.FAILED},
    "begin": UNFINISHED,
    "finish": {Phase.RUNNING},
    "give_back": {Phase.RUNNING},
    "give_up_lost": {Phase.RUNNING},
    "claim_send": UNFINISHED - {Phase.RUNNING},
    "claim_dead_letter": {Phase.FAILED},
    "extend": {Phase.RUNNING},
    "cancel": UNFINISHED,
    "retry_by_hand": {Phase.FAILED, Phase.CANCELLED},
}
MUCH_LATER = later(START, 3600)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("name", STEPS)
def test_each_step_leads_on_from_its_phases_only(job_factory: JobFactory, name: str, phase: Phase) -> None:
    job = job_factory(phase)
    if phase in ALLOWED[name]:
        assert STEPS[name](job, MUCH_LATER).after != job
    else:
        with pytest.raises(TransitionNotAllowedError):
            STEPS[name](job, MUCH_LATER)


NOTES = {"note_sent", "note_dead_lettered", "extend"}
WITH_EXPIRY = {"begin", "give_up_lost", "claim_send"}


@pytest.mark.parametrize(
    ("name", "phase"), [(name, phase) for name in STEPS for phase in Phase if phase in ALLOWED[name]]
)
def test_each_write_is_guarded_by_what_was_read(job_factory: JobFactory, name: str, phase: Phase) -> None:
    job = job_factory(phase)
    transition = STEPS[name](job, MUCH_LATER)
    assert transition.before is job
    assert transition.guard == Guard(
        job.status, job.lease.token, job.lease.expires_at, with_expiry=name in WITH_EXPIRY
    )
    new_token = "made1" if name in NOTES else "t2"
    assert transition.after.lease.token == new_token


@pytest.mark.parametrize("name", ["begin", "give_up_lost"])
def test_a_held_lease_keeps_others_off(job_factory: JobFactory, name: str) -> None:
    job = job_factory(Phase.RUNNING)
    with pytest.raises(TransitionNotAllowedError):
        STEPS[name](job, later(LEASE_END, -0.001))
    assert STEPS[name](job, LEASE_END).after.lease.owner in (None, "w")


def test_no_attempt_begins_before_its_time(job_factory: JobFactory) -> None:
    with pytest.raises(TransitionNotAllowedError):
        STEPS["begin"](job_factory(Phase.RETRYING), later(START, 1.999))


def test_no_attempt_begins_beyond_the_limit(job_factory: JobFactory) -> None:
    with pytest.raises(TransitionNotAllowedError):
        STEPS["begin"](job_factory(attempts=3), START)


def test_an_attempt_given_back_does_not_count(job_factory: JobFactory) -> None:
    job = job_factory(Phase.QUEUED, sent_at=START, due_at=None)
    begun = begin(job, owner="w", token="t2", expires_at=later(START, 60), now=START).after
    after = give_back(begun, token="t3", now=later(START, 1)).after
    assert after == replace(job, lease=Lease("t3"), updated_at=later(START, 1))


def test_a_message_sent_is_owed_no_more(job_factory: JobFactory) -> None:
    job = job_factory()
    assert note_sent(job, MUCH_LATER).after == replace(job, sent_at=MUCH_LATER, due_at=None)


def test_an_attempt_is_counted_when_it_begins(job_factory: JobFactory) -> None:
    job = job_factory()
    after = begin(job, owner="w", token="t2", expires_at=LEASE_END, now=START).after
    assert after == replace(
        job,
        phase=Phase.RUNNING,
        attempts=1,
        lease=Lease("t2", "w", LEASE_END),
        started_at=START,
        step=Step.CLAIMED,
        # The message was in the queue, or nobody could have begun.
        sent_at=START,
        due_at=later(LEASE_END, 5),
    )


def test_who_takes_over_puts_the_lost_attempt_on_record(job_factory: JobFactory) -> None:
    after = STEPS["begin"](job_factory(Phase.RUNNING), MUCH_LATER).after
    assert after.attempts == 2
    (lost,) = after.history
    assert (lost.number, lost.outcome, lost.worker) == (1, AttemptOutcome.LOST, "worker")
    assert (lost.started_at, lost.finished_at) == (START, MUCH_LATER)


def test_success(job_factory: JobFactory) -> None:
    running = job_factory(Phase.RUNNING, last_error=JobError("before", 500))
    done = later(START, 1.5)
    after = finished(running, OK, done)
    assert (after.status, after.phase, after.finished_at) == (Status.SUCCESS, Phase.SUCCEEDED, done)
    assert (after.result, after.last_error) == (JobResult(200, "done"), None)
    assert (after.due_at, after.started_at, after.lease) == (None, None, Lease("t2"))
    assert after.expire_at == later(done, RULES.retention.succeeded_seconds)
    assert after.history == (Attempt(1, AttemptOutcome.SUCCEEDED, START, done, "worker", 200),)
    assert after.history[0].duration_seconds == 1.5


@pytest.mark.parametrize(
    ("until_seconds", "kept_seconds"),
    [
        (RULES.retention.succeeded_seconds + 1, RULES.retention.succeeded_seconds + 1),
        (RULES.retention.succeeded_seconds - 1, RULES.retention.succeeded_seconds),
    ],
    ids=["the key stands for longer", "the retention is longer"],
)
def test_a_finished_job_is_kept_for_as_long_as_its_idempotency_key_stands_for_it(
    job_factory: JobFactory, until_seconds: float, kept_seconds: float
) -> None:
    running = job_factory(Phase.RUNNING, idempotency_key="k", idempotency_until=later(START, until_seconds))
    assert finished(running, OK, START).expire_at == later(START, kept_seconds)


def test_a_short_backoff_keeps_the_message(job_factory: JobFactory) -> None:
    after = finished(job_factory(Phase.RUNNING), RETRYABLE)
    retry_at = later(START, 1)
    assert (after.status, after.phase, after.run_at) == (Status.PENDING, Phase.RETRYING, retry_at)
    assert (after.due_at, after.sent_at, after.expire_at) == (None, START, None)
    assert after.last_error == JobError("the external service answered 503: busy", 503)
    assert after.history[0].next_attempt_at == retry_at


def test_a_long_backoff_is_parked_for_the_relay(job_factory: JobFactory) -> None:
    asked = replace(RETRYABLE, retry_after_seconds=901.0)
    after = finished(job_factory(Phase.RUNNING), asked)
    run_at = later(START, 901)
    assert (after.phase, after.run_at, after.due_at, after.sent_at) == (Phase.SCHEDULED, run_at, run_at, None)
    at_the_border = replace(RETRYABLE, retry_after_seconds=900.0)
    assert finished(job_factory(Phase.RUNNING), at_the_border).phase is Phase.RETRYING


def test_a_fifo_queue_keeps_the_message_however_long(job_factory: JobFactory) -> None:
    rules = replace(FIFO_RULES, retry=replace(RULES.retry, retry_after_max_seconds=1e6))
    after = finished(job_factory(Phase.RUNNING), replace(RETRYABLE, retry_after_seconds=1e6), rules=rules)
    # SQS: a message is invisible for 12 h at most.
    assert (after.phase, after.run_at, after.due_at) == (Phase.RETRYING, later(START, 43_200), None)


def test_a_refused_job_fails_at_once_and_is_owed_its_dead_letter(job_factory: JobFactory) -> None:
    after = finished(job_factory(Phase.RUNNING), REJECTED)
    assert (after.status, after.phase, after.finished_at) == (Status.FAILED, Phase.FAILED, START)
    assert after.due_at == later(START, GRACE_SECONDS)
    assert after.expire_at == later(START, RULES.retention.failed_seconds)
    assert after.last_error == with_fingerprint(JobError("the external service answered 404", 404))
    assert note_dead_lettered(after, START).after.due_at is None


def test_the_last_attempt_says_that_it_was_the_last(job_factory: JobFactory) -> None:
    after = finished(job_factory(Phase.RUNNING, attempts=3), RETRYABLE)
    assert after.phase is Phase.FAILED
    error = JobError("the external service answered 503: busy (attempt 3 of 3)", 503)
    assert after.last_error == with_fingerprint(error)


def test_a_stopped_worker_gives_the_job_back_at_once(job_factory: JobFactory) -> None:
    after = finished(job_factory(Phase.RUNNING), of_stopped_worker())
    assert (after.phase, after.run_at, after.attempts) == (Phase.RETRYING, START, 1)
    assert after.history[0].outcome is AttemptOutcome.RELEASED


def test_a_lost_job_is_queued_again_and_owed_a_message(job_factory: JobFactory) -> None:
    after = give_up_lost(job_factory(Phase.RUNNING), rules=RULES, token="t2", now=MUCH_LATER).after
    assert (after.phase, after.sent_at, after.due_at) == (Phase.QUEUED, None, MUCH_LATER)
    assert after.history[-1].outcome is AttemptOutcome.LOST


def test_a_job_lost_in_its_last_attempt_has_failed(job_factory: JobFactory) -> None:
    job = job_factory(Phase.RUNNING, attempts=3)
    after = give_up_lost(job, rules=RULES, token="t2", now=MUCH_LATER).after
    assert (after.phase, after.due_at) == (Phase.FAILED, later(MUCH_LATER, GRACE_SECONDS))
    assert after.last_error is not None
    assert "attempt 3 of 3" in after.last_error.message


def test_a_waiting_job_whose_limit_was_lowered_by_hand_has_failed(job_factory: JobFactory) -> None:
    job = job_factory(attempts=2, max_attempts=2)
    assert give_up_lost(job, rules=RULES, token="t2", now=START).after.phase is Phase.FAILED


@pytest.mark.parametrize("phase", [Phase.SCHEDULED, Phase.QUEUED, Phase.RETRYING])
def test_a_message_sent_again_has_another_number(job_factory: JobFactory, phase: Phase) -> None:
    after = claim_send(job_factory(phase), rules=RULES, token="t2", now=MUCH_LATER).after
    assert (after.phase, after.sends, after.sent_at) == (Phase.QUEUED, 2, None)
    assert after.due_at == later(MUCH_LATER, GRACE_SECONDS)


def test_postponing_moves_what_is_owed_and_nothing_else(job_factory: JobFactory) -> None:
    job = job_factory()
    assert postpone(job, now=START, seconds=60).after == replace(job, due_at=later(START, 60))


def test_an_extension_keeps_the_relay_off_too(job_factory: JobFactory) -> None:
    after = extend(job_factory(Phase.RUNNING), expires_at=MUCH_LATER).after
    assert (after.lease.expires_at, after.due_at) == (MUCH_LATER, later(MUCH_LATER, 5))


@pytest.mark.parametrize("phase", sorted(UNFINISHED))
def test_a_cancelled_job_is_owed_nothing(job_factory: JobFactory, phase: Phase) -> None:
    after = cancel(job_factory(phase), rules=RULES, token="t2", now=START).after
    assert (after.status, after.finished_at, after.due_at) == (Status.CANCELLED, START, None)
    assert after.expire_at == later(START, RULES.retention.cancelled_seconds)
    assert [attempt.outcome for attempt in after.history] == [AttemptOutcome.LOST] * (phase is Phase.RUNNING)


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
def test_a_retry_by_hand_starts_from_the_first_attempt(job_factory: JobFactory, phase: Phase) -> None:
    attempt = Attempt(1, AttemptOutcome.REJECTED, START, START, "w", 404)
    job = job_factory(phase, attempts=3, sends=4, history=(attempt,), last_error=JobError("x", 404))
    after = retry_by_hand(job, rules=RULES, token="t2", now=MUCH_LATER).after
    assert (after.phase, after.attempts, after.sends, after.sent_at) == (Phase.QUEUED, 0, 5, None)
    assert (after.run_at, after.due_at) == (MUCH_LATER, later(MUCH_LATER, GRACE_SECONDS))
    assert (after.finished_at, after.expire_at) == (None, None)
    assert after.history == (attempt,)


def test_the_history_is_bounded_and_keeps_the_newest(job_factory: JobFactory) -> None:
    old = tuple(
        Attempt(number, AttemptOutcome.RETRYABLE, START, START, "w") for number in range(HISTORY_LIMIT)
    )
    after = finished(job_factory(Phase.RUNNING, history=old), OK)
    assert len(after.history) == HISTORY_LIMIT
    assert after.history[:-1] == old[1:]
    assert after.history[-1].outcome is AttemptOutcome.SUCCEEDED
