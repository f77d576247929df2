"""Looks at the world after each effect, and holds it against what is promised."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

from jobqueue_core.domain.job import AttemptOutcome, Job, Phase
from jobqueue_core.domain.message import decode
from jobqueue_testsupport.model.records import AttemptRecord, JobRecord, RunRecord, ViolationError
from jobqueue_testsupport.model.service import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from jobqueue_core.domain.message import Message
    from jobqueue_core.testing.clock import ManualClock
    from jobqueue_testsupport.model.service import Call

API = "api"
# Carries out what was ordered as a redrive.
RELAY = "relay"
_OUTCOMES = {
    Answer.OK: AttemptOutcome.SUCCEEDED,
    Answer.UNAVAILABLE: AttemptOutcome.RETRYABLE,
    Answer.LATER: AttemptOutcome.RETRYABLE,
    Answer.NOTHING: AttemptOutcome.RETRYABLE,
    Answer.REJECTED: AttemptOutcome.REJECTED,
}
# What may still change in a job that has failed: whose business its dead letter is.
_LETTER_FIELDS = frozenset({"due_at", "lease", "updated_at"})


def demand(holds: bool, promise: str, job_id: str = "") -> None:  # noqa: FBT001 - reads as a sentence
    """Raise a violation unless it holds."""
    if not holds:
        raise ViolationError(f"{promise} {job_id}".strip())


class Witness:
    """Keeps its own books of attempts, calls, messages and letters."""

    def __init__(self, clock: ManualClock) -> None:
        """Begin before the first job."""
        self._clock = clock
        self._known: dict[str, Job] = {}
        self.records: dict[str, JobRecord] = defaultdict(JobRecord)
        self.is_calm = True
        """Nothing has gone wrong so far: no process died, no call failed, nobody was slow."""
        self.violation: ViolationError | None = None
        """The first promise that was broken."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep a violation until somebody asks: raised here, the process at fault could swallow it."""
        try:
            yield
        except ViolationError as violation:
            self.violation = self.violation or violation

    def saw_jobs(self, jobs: Mapping[str, Job], writer: str) -> None:
        """Judge what a process has just written."""
        for job_id in self._known:
            demand(job_id in jobs, "an accepted job has vanished", job_id)
        for job_id, after in jobs.items():
            before = self._known.get(job_id)
            if before is after:
                continue
            if before is not None:
                self._changed(before, after, writer)
            self._entered(before, after)
            self._known[job_id] = after

    def saw_sends(self, messages: Iterable[Message]) -> None:
        """Note that the queue has taken messages."""
        for message in messages:
            job_id = decode(message.body)
            demand(job_id in self._known, "a message was sent before its job was stored", job_id)
            self.records[job_id].run.sent += 1

    def saw_letters(self, letters: Iterable[Message]) -> None:
        """Judge what has just come to the dead-letter queue."""
        for letter in letters:
            job_id = decode(letter.body)
            demand(letter.attributes.get("reason") == "failed", "a good message was called bad", job_id)
            record = self.records[job_id]
            has_failed = self._known[job_id].phase is Phase.FAILED
            demand(
                has_failed or any(run.letters or run.finals for run in record.runs[:-1]),
                "a dead letter of a job that has not failed",
                job_id,
            )
            if has_failed:
                record.run.letters += 1

    def saw_call(self, call: Call) -> None:
        """Judge a call that has just begun."""
        record = self.records[call.job_id]
        found = [(run, run.attempts[call.token]) for run in record.runs if call.token in run.attempts]
        demand(len(found) == 1, "a call without a claim", call.job_id)
        ((run, attempt),) = found
        demand(attempt.call is None, "one attempt called twice", call.job_id)
        demand(attempt.owner == call.process, "a call by another than who claimed", call.job_id)
        demand(attempt.number == call.attempt, "a call under a wrong number", call.job_id)
        attempt.call = call
        job = self._known[call.job_id]
        demand(run.calls <= job.max_attempts, "more calls than maxAttempts", call.job_id)
        if job.lease.token == call.token:
            ends = job.lease.expires_at
            demand(ends is None or ends > self._clock.now(), "a call after the end of its lease", call.job_id)
        if run is record.run:
            demand(run.calls <= job.attempts, "a call that was not counted", call.job_id)

    def saw_answer(self, call: Call, answer: Answer) -> None:
        """Note what a call was answered."""
        for run in self.records[call.job_id].runs:
            if call.token in run.attempts:
                run.attempts[call.token].answer = answer

    def _entered(self, before: Job | None, after: Job) -> None:
        """Judge the state a job is in now, and note what begins with it."""
        run = self.records[after.id].run
        demand(after.attempts <= after.max_attempts, "more attempts than maxAttempts", after.id)
        if after.phase.is_final:
            demand(after.finished_at is not None, "a final state without its time", after.id)
        if after.phase is Phase.FAILED and after.due_at is None:
            demand(run.letters > 0, "a failed job is owed nothing, and has no dead letter", after.id)
        if after.phase is Phase.QUEUED and after.sent_at is not None and after.due_at is None:
            demand(run.sent > 0, "noted as sent, and never sent", after.id)
        if before is not None and before.sent_at is not None and after.sent_at is None:
            run.sent = 0

    def _changed(self, before: Job, after: Job, writer: str) -> None:
        if before.phase.is_final:
            self._after_the_end(before, after, writer)
            return
        now = self._clock.now()
        self._history(before, after)
        if before.phase is Phase.RUNNING:
            self._of_running(before, after, writer, now)
        else:
            demand(after.phase is not Phase.SUCCEEDED, "success without an attempt", after.id)
        if after.phase is Phase.RUNNING and after.lease.token != before.lease.token:
            demand(before.run_at <= now, "an attempt before its time", after.id)
            demand(after.attempts == before.attempts + 1, "an attempt was not counted", after.id)
            demand(after.lease.owner == writer, "a claim in another's name", after.id)
            run = self.records[after.id].run
            run.attempts[after.lease.token] = AttemptRecord(after.attempts, writer)
            # Whoever claims has a message in hand.
            run.sent += 1
        if after.phase.is_final:
            self.records[after.id].run.finals += 1
            demand(self.records[after.id].run.finals == 1, "a second final state", after.id)

    def _after_the_end(self, before: Job, after: Job, writer: str) -> None:
        """Nothing changes a final job but a retry by hand, and the notes of its dead letter."""
        if after.phase is Phase.QUEUED:
            demand(before.phase is not Phase.SUCCEEDED, "a job ran again after its success", after.id)
            demand(writer.startswith((API, RELAY)), "a final job was run again by nobody", after.id)
            demand(after.attempts == 0, "a retry by hand begins anew", after.id)
            self.records[after.id].runs.append(RunRecord(len(after.history)))
            return
        changed = {name for name in Job.__slots__ if getattr(before, name) != getattr(after, name)}
        allowed = _LETTER_FIELDS if before.phase is Phase.FAILED else frozenset[str]()
        demand(changed <= allowed, f"a final job was changed ({', '.join(sorted(changed))})", after.id)

    def _of_running(self, before: Job, after: Job, writer: str, now: datetime) -> None:
        attempt = self.records[before.id].run.attempts[before.lease.token]
        if after.lease.token == before.lease.token:
            demand(after.phase is Phase.RUNNING, "an attempt ended under its old token", after.id)
            demand(writer == attempt.owner, "a lease extended by another", after.id)
            return
        is_cancel = after.phase is Phase.CANCELLED and writer.startswith(API)
        is_over = before.lease.expires_at is not None and before.lease.expires_at <= now
        is_own = writer == attempt.owner
        demand(is_cancel or is_over or is_own, f"a running attempt was taken away by {writer}", after.id)
        if len(after.history) > len(before.history):
            entry = after.history[-1]
            demand(entry.number == before.attempts, "an outcome under a wrong number", after.id)
            if entry.outcome not in (AttemptOutcome.LOST, AttemptOutcome.RELEASED):
                demand(is_own, "an outcome written by another", after.id)
                demand(
                    attempt.answer is not None and _OUTCOMES[attempt.answer] is entry.outcome,
                    "an outcome that the service did not give",
                    after.id,
                )
            elif entry.outcome is AttemptOutcome.LOST and not is_cancel:
                demand(not self.is_calm, "an attempt lost though nothing went wrong", after.id)
        elif after.phase is Phase.QUEUED:
            demand(attempt.call is None, "an attempt given back after its call", after.id)
            demand(after.attempts == before.attempts - 1, "a return that was counted", after.id)
        if after.phase is Phase.SUCCEEDED:
            result = after.result
            demand(
                result is not None and attempt.call is not None and result.body == attempt.call.body,
                "the result of another attempt",
                after.id,
            )

    def _history(self, before: Job, after: Job) -> None:
        kept = len(before.history)
        demand(after.history[:kept] == before.history, "history was rewritten", after.id)
        numbers = [entry.number for entry in after.history[self.records[after.id].run.history_at_start :]]
        demand(
            all(one < other for one, other in pairwise(numbers)),
            f"attempts out of order {numbers}",
            after.id,
        )
