"""Recurring jobs: which due times of a schedule become jobs now, and what is remembered of it.

Any number of relays ask this at any time, and each may die between any two steps. What makes a due time one
job all the same is the job's id: it follows from the queue, the schedule's name and the due time alone, so
that whoever comes second finds the job there. The state only says how far the due times have been gone
through; it may lag behind, never run ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from jobqueue_core.domain.cron import fires_after, last_firing, time_zone
from jobqueue_core.domain.ids import derived_id
from jobqueue_core.domain.job import Job, JsonValue, Phase
from jobqueue_core.domain.submission import Submission, new_job
from jobqueue_core.domain.times import later

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from jobqueue_core.domain.transitions import JobRules

# A due time is missed when nobody has seen to it for so long: relays look every second or so, and a restart
# of all of them takes less.
GRACE_SECONDS = 60.0
# What was missed is made up for in portions, and only so far back: a schedule of every minute that nobody
# has seen to for a month comes to 44,640 jobs.
CATCH_UP_AT_ONCE = 100
CATCH_UP_DAYS = 31
LABEL = "schedule"
"""The label of a recurring job that names its schedule."""


class Missed(StrEnum):
    """What becomes of due times that nobody saw to in time."""

    SKIP = "skip"
    """They are passed over."""
    LATEST = "latest"
    """The newest of them becomes a job."""
    ALL = "all"
    """Each of them becomes a job, the oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A schedule of a queue: when its jobs are due, and what they are.

    Attributes:
        queue: The queue, by its name in requests.
        name: Tells it from the queue's other schedules.
        cron: When a job is due (`domain.cron`); without fault.
        time_zone: Name of the time zone of `cron`; one that exists.
        missed: What becomes of due times that nobody saw to within `GRACE_SECONDS`.
        suspended: Due times pass and become no jobs; nor are they made up for later.
        payload: Of each job.
        max_attempts: Of each job; None: the queue's.
        timeout_seconds: Of each job; None: the queue's.
        ordering_key: Of each job; None: none.
        labels: Of each job, beside the schedule's name.
    """

    queue: str
    name: str
    cron: str
    time_zone: str = "UTC"
    missed: Missed = Missed.LATEST
    suspended: bool = False
    payload: Mapping[str, JsonValue] = field(default_factory=dict)
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    ordering_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What its state is kept under; neither name holds a slash."""
        return f"{self.queue}/{self.name}"

    @property
    def times(self) -> str:
        """What its due times follow from: where this changes, it begins anew."""
        return f"{self.cron} {self.time_zone}" + (" suspended" if self.suspended else "")

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first due time after a moment, in UTC; None: there is none any more."""
        return fires_after(self.cron, time_zone(self.time_zone), moment)

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the due times after one moment and not after another."""
        due = self.next_after(after)
        while due is not None and due <= until:
            yield due
            due = self.next_after(due)

    def last(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last of those; None: there are none."""
        return last_firing(self.cron, time_zone(self.time_zone), after=after, until=until)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """What the store remembers of a schedule.

    Attributes:
        key: Of the recurrence.
        times: Of the recurrence whose due times these are.
        handled_until: Every due time up to here has been seen to: it is a job, or was passed over.
        last_run: The newest due time that became a job; None: none has yet.
        version: Number of this state; each write makes the next one of the one it has read.
    """

    key: str
    times: str
    handled_until: datetime
    last_run: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done for a schedule now.

    Attributes:
        due: Due times that are to become jobs, the oldest first.
        state: The state once they are; the one given, where no due time has come.
        missed: Some due time was passed over, and not because the schedule is suspended.
        more: More is due at once.
    """

    due: tuple[datetime, ...]
    state: ScheduleState
    missed: bool = False
    more: bool = False


def resume(recurrence: Recurrence, stored: ScheduleState | None, since: datetime) -> ScheduleState:
    """Return the state from which a relay goes on.

    A schedule that is new, or whose times have changed, starts from `since`: it makes up for nothing. Where
    relays with the old and the new times run side by side, as while settings are rolled out, each begins
    anew from where it has come itself, so neither loses a due time to the other.

    Args:
        recurrence: The schedule as this relay knows it.
        stored: What the store has; None: nothing.
        since: How far this relay knows its due times to have been seen to; at first, when it first knew it.
    """
    if stored is None:
        return ScheduleState(key=recurrence.key, times=recurrence.times, handled_until=since)
    if stored.times == recurrence.times:
        return stored
    return replace(stored, times=recurrence.times, handled_until=since)


def take_turn(recurrence: Recurrence, state: ScheduleState, now: datetime) -> Turn:
    """Return which due times become jobs now, and the state after that.

    A clock that went back makes nothing due that has been seen to.

    Args:
        recurrence: The schedule.
        state: Of these times (`resume`).
        now: An aware time.
    """
    newest = recurrence.last(state.handled_until, now)
    if newest is None:
        return Turn((), state)
    if recurrence.suspended:
        return Turn((), _advanced(state, newest, ()))
    first = recurrence.next_after(state.handled_until)
    if recurrence.missed is Missed.ALL:
        return _catch_up(recurrence, state, newest, first, now)
    # A due time of exactly the grace ago is in time.
    in_time = now - timedelta(seconds=GRACE_SECONDS, microseconds=1)
    due = tuple(recurrence.between(max(state.handled_until, in_time), newest))
    if not due and recurrence.missed is Missed.LATEST:
        due = (newest,)
    return Turn(due, _advanced(state, newest, due), missed=not due or due[0] != first)


def _catch_up(
    recurrence: Recurrence, state: ScheduleState, newest: datetime, first: datetime | None, now: datetime
) -> Turn:
    since = max(state.handled_until, now - timedelta(days=CATCH_UP_DAYS))
    due: list[datetime] = []
    for each in recurrence.between(since, newest):
        if len(due) == CATCH_UP_AT_ONCE:
            break
        due.append(each)
    due = due or [newest]
    return Turn(tuple(due), _advanced(state, due[-1], due), missed=due[0] != first, more=due[-1] < newest)


def _advanced(state: ScheduleState, until: datetime, due: Sequence[datetime]) -> ScheduleState:
    last_run = max(due[-1], state.last_run or due[-1]) if due else state.last_run
    return replace(state, handled_until=until, last_run=last_run)


def following(state: ScheduleState) -> ScheduleState:
    """Return the state as it is written over the one that was read."""
    return replace(state, version=state.version + 1)


def recurring_job(
    recurrence: Recurrence, due: datetime, *, token: str, rules: JobRules, now: datetime
) -> Job:
    """Return the job of a due time: the same one, by its id, whoever asks and when.

    It is scheduled for its due time, which has come: the relay sends it as it does every scheduled job, and
    of several the oldest first.
    As one with an idempotency key it is not forgotten too soon: as long as it is there, no relay that finds
    an old state makes it again.
    """
    submission = Submission(
        queue=recurrence.queue,
        payload=recurrence.payload,
        max_attempts=recurrence.max_attempts,
        timeout_seconds=recurrence.timeout_seconds,
        ordering_key=recurrence.ordering_key,
        labels={**recurrence.labels, LABEL: recurrence.name},
    )
    job_id = derived_id(due, recurrence.key)
    job = new_job(submission, job_id=job_id, token=token, rules=rules, now=now)
    return replace(
        job,
        phase=Phase.SCHEDULED,
        created_at=due,
        run_at=due,
        due_at=due,
        idempotency_until=later(now, rules.idempotency_seconds),
    )
