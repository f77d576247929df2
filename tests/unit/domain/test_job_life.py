"""Any sequence of steps, by actors who remember old states of the job, keeps the promises of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobqueue_core.domain.claims import Verdict, judge
from jobqueue_core.domain.errors import TransitionNotAllowedError
from jobqueue_core.domain.job import HISTORY_LIMIT, AttemptOutcome, Job, JobResult, Phase, Status
from jobqueue_core.domain.outcome import of_answer, of_connection_error, of_stopped_worker
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import (
    Transition,
    begin,
    cancel,
    claim_dead_letter,
    claim_send,
    extend,
    finish,
    give_up_lost,
    note_dead_lettered,
    note_sent,
    retry_by_hand,
)
from jobqueue_core.testing.clock import ManualClock
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_testsupport.factories import FIFO_RULES, RULES, JobFactory, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Answer = TypeVar("Answer")
ACTORS = ("api", "relay", "worker-1", "worker-2")
OUTCOMES = {
    "ok": of_answer(200, JobResult(200, "")),
    "busy": of_answer(503, JobResult(503, ""), 30.0),
    "much later": of_answer(429, JobResult(429, ""), 3000.0),
    "no": of_answer(404, JobResult(404, "")),
    "broken": of_connection_error("refused"),
    "stopped": of_stopped_worker(),
}


def run(coroutine: Coroutine[None, None, Answer]) -> Answer:
    """Run a coroutine of the store in memory, which waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # the coroutine's
    raise AssertionError("it waits")


class JobLife(RuleBasedStateMachine):
    """Several actors read a job now and then, and step from what they remember."""

    @initialize(fifo=st.booleans(), max_attempts=st.integers(1, 4))
    def submit(self, fifo: bool, max_attempts: int) -> None:  # noqa: FBT001 - drawn
        self.job_rules = FIFO_RULES if fifo else RULES
        self.clock = ManualClock()
        self.store = MemoryJobStore()
        self.new_token = Tokens()
        job = JobFactory()(max_attempts=max_attempts)
        run(self.store.insert([job]))
        self.job_id = job.id
        self.remembered = dict.fromkeys(ACTORS, job)
        self.calls = 0
        self.finals = 0
        self.message_owed = True
        self.dead_letter_owed = False

    @property
    def stored(self) -> Job:
        return self.store.jobs[self.job_id]

    def take(self, actor: str, make: Callable[[Job], Transition]) -> bool:
        """Step from what the actor remembers; check that it lands only if that is still so."""
        remembered, before = self.remembered[actor], self.stored
        try:
            transition = make(remembered)
        except TransitionNotAllowedError:
            return False
        (landed,) = run(self.store.apply([transition]))
        if not landed:
            assert self.stored == before, "a write that did not land has changed the job"
            return False
        self.remembered[actor] = self.stored
        assert (before.status, before.lease.token) == (remembered.status, remembered.lease.token), (
            "a stale write"
        )
        assert not (before.phase.is_final and self.stored.phase is Phase.RUNNING)
        if self.stored.phase.is_final and not before.phase.is_final:
            self.finals += 1
            self.dead_letter_owed = self.stored.phase is Phase.FAILED
        return True

    @rule(actor=st.sampled_from(ACTORS))
    def read(self, actor: str) -> None:
        self.remembered[actor] = self.stored

    @rule(seconds=st.sampled_from([0.001, 1, 5, 30, 60, 66, 1000]))
    def pass_time(self, seconds: float) -> None:
        self.clock.move(seconds)

    @rule(actor=st.sampled_from(ACTORS), lease_seconds=st.sampled_from([1, 60]))
    def begin(self, actor: str, lease_seconds: float) -> None:
        now = self.clock.now()
        was_held = self.stored.lease.is_held(now)
        job = self.remembered[actor]
        may = judge(job, now).verdict is Verdict.RUN
        if self.take(
            actor,
            lambda job: begin(
                job, owner=actor, token=self.new_token(), expires_at=later(now, lease_seconds), now=now
            ),
        ):
            assert may
            assert not was_held, "two attempts at once"
            self.calls += 1

    @rule(actor=st.sampled_from(ACTORS), outcome=st.sampled_from(sorted(OUTCOMES)), jitter=st.floats(0, 0.99))
    def finish(self, actor: str, outcome: str, jitter: float) -> None:
        token = self.new_token()
        self.take(
            actor,
            lambda job: finish(
                job, OUTCOMES[outcome], rules=self.job_rules, jitter=jitter, token=token, now=self.clock.now()
            ),
        )

    @rule(actor=st.sampled_from(ACTORS))
    def extend(self, actor: str) -> None:
        self.take(actor, lambda job: extend(job, expires_at=later(self.clock.now(), 60)))

    @rule(actor=st.sampled_from(ACTORS))
    def give_up_lost(self, actor: str) -> None:
        now = self.clock.now()
        was_held = self.stored.lease.is_held(now)
        if self.take(
            actor, lambda job: give_up_lost(job, rules=self.job_rules, token=self.new_token(), now=now)
        ):
            assert not was_held, "an attempt that is alive was given up"
            self.message_owed = True

    @rule(actor=st.sampled_from(ACTORS))
    def claim_send(self, actor: str) -> None:
        sends = self.stored.sends
        if self.take(
            actor,
            lambda job: claim_send(job, rules=self.job_rules, token=self.new_token(), now=self.clock.now()),
        ):
            assert self.stored.sends > sends
            self.message_owed = True

    @rule(actor=st.sampled_from(ACTORS))
    def note_sent(self, actor: str) -> None:
        if self.take(actor, lambda job: note_sent(job, self.clock.now())):
            self.message_owed = False

    @rule(actor=st.sampled_from(ACTORS))
    def claim_dead_letter(self, actor: str) -> None:
        if self.take(
            actor,
            lambda job: claim_dead_letter(
                job, rules=self.job_rules, token=self.new_token(), now=self.clock.now()
            ),
        ):
            self.dead_letter_owed = True

    @rule(actor=st.sampled_from(ACTORS))
    def note_dead_lettered(self, actor: str) -> None:
        if self.take(actor, lambda job: note_dead_lettered(job, self.clock.now())):
            self.dead_letter_owed = False

    @rule(actor=st.sampled_from(ACTORS))
    def cancel(self, actor: str) -> None:
        self.take(
            actor, lambda job: cancel(job, rules=self.job_rules, token=self.new_token(), now=self.clock.now())
        )

    @precondition(lambda self: self.stored.phase in (Phase.FAILED, Phase.CANCELLED))
    @rule(actor=st.sampled_from(ACTORS))
    def retry_by_hand(self, actor: str) -> None:
        if self.take(
            actor,
            lambda job: retry_by_hand(
                job, rules=self.job_rules, token=self.new_token(), now=self.clock.now()
            ),
        ):
            self.calls = self.finals = 0
            self.message_owed = True

    @invariant()
    def calls_stay_within_the_limit(self) -> None:
        assert self.calls == self.stored.attempts <= self.stored.max_attempts

    @invariant()
    def one_run_ends_once(self) -> None:
        assert self.finals == self.stored.phase.is_final
        assert (self.stored.finished_at is not None) == self.stored.phase.is_final
        assert (self.stored.expire_at is not None) == self.stored.phase.is_final

    @invariant()
    def the_history_is_bounded_and_tells_every_ended_call(self) -> None:
        job = self.stored
        assert len(job.history) <= HISTORY_LIMIT
        ended = self.calls - (job.phase is Phase.RUNNING)
        if len(job.history) < HISTORY_LIMIT:
            this_run = job.history[len(job.history) - ended :]
            assert [attempt.number for attempt in this_run] == list(range(1, ended + 1))
        if job.status is Status.SUCCESS:
            assert job.history[-1].outcome is AttemptOutcome.SUCCEEDED

    @invariant()
    def something_is_due_exactly_when_something_is_owed(self) -> None:
        job = self.stored
        owed = {
            Phase.SCHEDULED: True,
            Phase.QUEUED: self.message_owed,
            Phase.RUNNING: True,
            Phase.RETRYING: False,
            Phase.SUCCEEDED: False,
            Phase.FAILED: self.dead_letter_owed,
            Phase.CANCELLED: False,
        }[job.phase]
        assert (job.due_at is not None) == owed
        if job.phase is Phase.QUEUED and job.sent_at is None:
            assert owed

    @invariant()
    def only_a_running_job_has_an_owner(self) -> None:
        job = self.stored
        running = job.phase is Phase.RUNNING
        assert (job.lease.owner is not None) == running
        assert (job.lease.expires_at is not None) == running
        assert (job.started_at is not None) == running


JobLife.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
TestJobLife = JobLife.TestCase
