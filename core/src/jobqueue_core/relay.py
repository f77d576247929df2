"""The relay: finds what the store owes the queue, and pays.

Owed are jobs whose time has come, jobs whose message was never sent (a crash, an outage of the
queue), jobs whose worker died with their message, and dead letters. Each has a `due_at`; the
relay reads those that have passed, takes each by a guarded write (state, time and fencing token),
and only then sends. Any number of relays may run: one of them wins each job.

A message that the queue itself has lost shows in nothing but the counts, so they are audited.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

import structlog

from jobqueue_core import failpoints
from jobqueue_core.domain.errors import JobQueueError, QueueUnavailableError, StoreUnavailableError
from jobqueue_core.domain.job import Job, Phase
from jobqueue_core.domain.message import Message, dead_letter, encode
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import (
    Transition,
    claim_dead_letter,
    claim_send,
    give_up_lost,
    note_dead_lettered,
    note_sent,
    postpone,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from jobqueue_core.domain.transitions import JobRules
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import EntryError, MessageQueue
    from jobqueue_core.ports.store import JobStore

_log = structlog.get_logger(__name__)

_BATCH = 500
# A job of a queue that nobody has configured any more is looked at again after this.
_UNKNOWN_QUEUE_SECONDS = 60.0
# A queue that says it is empty is believed when it has said so twice (the counts are
# approximate and settle within about a minute: SQS, GetQueueAttributes).
_EMPTY_READINGS = 2


# After an outage of the store the workers come first: they still know how their attempts ended, and look
# for the store every two seconds.
_PATIENCE_SECONDS = 5.0


class _Debt(Enum):
    MESSAGE = auto()
    DEAD_LETTER = auto()
    NOTHING = auto()


class RelayObserver(Protocol):
    """Is told what the relay did."""

    def relay_resent(self, queue: str, count: int) -> None:
        """Count messages that had to be sent again."""
        ...


class Chore(Protocol):
    """Something else that is due from time to time, and that any relay may do."""

    async def turn(self) -> bool:
        """Do what is due now, a bounded part of it; tell whether more is due at once.

        It must be safe to run in many relays at a time and to be killed anywhere.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """How often the relay looks, in seconds.

    Attributes:
        poll_seconds: pause between two looks at what is due.
        lost_after_seconds: age of a message that an empty queue must have lost.
        resend_after_seconds: age at which a message is sent again whatever the queue says.

    """

    poll_seconds: float = 1.0
    lost_after_seconds: float = 60.0
    resend_after_seconds: float = 21_600.0


class Relay:
    """Runs beside the API; holds no state that matters."""

    def __init__(  # noqa: PLR0913 - the one wiring point, all by keyword
        self,
        *,
        store: JobStore,
        queues: Mapping[str, MessageQueue],
        rules: Mapping[str, JobRules],
        clock: Clock,
        settings: RelaySettings,
        observer: RelayObserver,
        new_token: Callable[[], str],
        chores: Sequence[Chore] = (),
    ) -> None:
        """Take the store, the queues and rules by queue name, a source of fencing tokens, and chores."""
        self._store = store
        self._queues = queues
        self._rules = rules
        self._clock = clock
        self._settings = settings
        self._observer = observer
        self._new_token = new_token
        self._chores = chores
        self._patient_until = clock.monotonic()
        self._empty_readings: dict[str, int] = defaultdict(int)
        self._next_audit = clock.monotonic() + settings.lost_after_seconds / _EMPTY_READINGS

    async def run(self) -> None:
        """Look, pay and wait, until cancelled; an outage is waited out."""
        is_synchronized = False
        while True:
            more = False
            try:
                if not is_synchronized:
                    # By a clock that is ahead, leases that are held have run out.
                    await self._clock.synchronize()
                    is_synchronized = True
                paid = await self.pay_dues()
                more = await self._do_chores()
                if self._clock.monotonic() >= self._next_audit:
                    self._next_audit = (
                        self._clock.monotonic() + self._settings.lost_after_seconds / _EMPTY_READINGS
                    )
                    await self.audit()
            except StoreUnavailableError as error:
                paid = 0
                self._patient_until = self._clock.monotonic() + _PATIENCE_SECONDS
                _log.warning("relay waits for the store", error=str(error))
            # More is due when a whole batch was; but against a queue that refuses, haste only
            # rewrites the store.
            if paid < _BATCH and not more:
                # Several relays fall out of step by themselves.
                await self._clock.sleep(self._settings.poll_seconds * random.uniform(0.8, 1.2))  # noqa: S311

    async def _do_chores(self) -> bool:
        """Give each chore its turn; tell whether one of them has more to do at once."""
        more = False
        for chore in self._chores:
            try:
                more |= await chore.turn()
            except QueueUnavailableError as error:
                _log.warning("chore waits for the queue", chore=type(chore).__name__, error=str(error))
        return more

    async def pay_dues(self) -> int:
        """Pay what is due now; return how many debts were taken, less those that could not be paid."""
        now = self._clock.now()
        due = await self._store.due(now, _BATCH)
        if not due:
            return 0
        # One token for the batch: what is the same for many jobs is one write.
        token = self._new_token()
        claims = [self._claim(job, token, now) for job in due if not job.lease.is_held(now)]
        failpoints.hit("relay.before_claim")
        landed = await self._store.apply([transition for _, transition in claims])
        failpoints.hit("relay.after_claim")
        owed: dict[tuple[_Debt, str], list[Job]] = defaultdict(list)
        for (debt, claim), is_ours in zip(claims, landed, strict=True):
            if is_ours:
                owed[debt, claim.after.queue].append(claim.after)
                if debt is _Debt.MESSAGE and claim.before.phase is not Phase.SCHEDULED:
                    self._observer.relay_resent(claim.after.queue, 1)
        unpaid = 0
        for (debt, name), jobs in owed.items():
            if debt is _Debt.MESSAGE:
                unpaid += await self._send(name, jobs)
            elif debt is _Debt.DEAD_LETTER:
                unpaid += await self._dead_letter(name, jobs)
        return sum(landed) - unpaid

    def _claim(self, job: Job, token: str, now: datetime) -> tuple[_Debt, Transition]:
        """Return what the job is owed and the write that makes paying it our business."""
        rules = self._rules.get(job.queue)
        if rules is None:
            _log.error("job of a queue that is not configured", job_id=job.id, queue=job.queue)
            return _Debt.NOTHING, postpone(job, now=now, seconds=_UNKNOWN_QUEUE_SECONDS)
        if job.phase is Phase.FAILED:
            return _Debt.DEAD_LETTER, claim_dead_letter(job, rules=rules, token=token, now=now)
        if job.phase is Phase.RUNNING and self._clock.monotonic() < self._patient_until:
            return _Debt.NOTHING, postpone(job, now=now, seconds=_PATIENCE_SECONDS)
        if job.phase is Phase.RUNNING:
            _log.warning("lease ran out, the worker is gone", job_id=job.id, worker=job.lease.owner)
            # Queued again and due at once, or failed: the next look pays.
            return _Debt.NOTHING, give_up_lost(job, rules=rules, token=token, now=now)
        return _Debt.MESSAGE, claim_send(job, rules=rules, token=token, now=now)

    async def _send(self, name: str, jobs: Sequence[Job]) -> int:
        queue = self._queues[name]
        messages = [encode(job, fifo=queue.fifo) for job in jobs]
        return await self._pay(name, jobs, messages, queue.send, note_sent)

    async def _dead_letter(self, name: str, jobs: Sequence[Job]) -> int:
        queue = self._queues[name]
        messages = [dead_letter(job, fifo=queue.fifo) for job in jobs]
        return await self._pay(name, jobs, messages, queue.dead_letter, note_dead_lettered)

    async def _pay(
        self,
        name: str,
        jobs: Sequence[Job],
        messages: Sequence[Message],
        send: Callable[[Sequence[Message]], Awaitable[list[EntryError | None]]],
        note: Callable[[Job, datetime], Transition],
    ) -> int:
        """Send and note what was sent; return how many were not, which are due again after the grace."""
        try:
            answers = await send(messages)
        except JobQueueError as error:
            _log.warning("relay could not send", queue=name, jobs=len(jobs), error=str(error))
            return len(jobs)
        failpoints.hit("relay.after_dead_letter" if note is note_dead_lettered else "relay.after_send")
        now = self._clock.now()
        paid = [note(job, now) for job, answer in zip(jobs, answers, strict=True) if answer is None]
        refused = [answer for answer in answers if answer is not None]
        if refused:
            _log.warning("relay: messages refused", queue=name, refused=len(refused), code=refused[0].code)
        if paid:
            await self._store.offer(paid)
            failpoints.hit("relay.after_note")
        return len(refused)

    async def audit(self) -> None:
        """Look for messages that a queue has lost."""
        for name, queue in tuple(self._queues.items()):  # queues may be learnt meanwhile
            await self._audit_queue(name, queue)

    async def _audit_queue(self, name: str, queue: MessageQueue) -> None:
        try:
            counts = await queue.counts()
        except JobQueueError as error:
            self._empty_readings[name] = 0
            _log.warning("relay could not audit", queue=name, error=str(error))
            return
        self._empty_readings[name] = self._empty_readings[name] + 1 if counts.total == 0 else 0
        is_empty = self._empty_readings[name] >= _EMPTY_READINGS
        age = self._settings.lost_after_seconds if is_empty else self._settings.resend_after_seconds
        while True:
            now = self._clock.now()
            lost = await self._store.waiting_since(name, later(now, -age), _BATCH)
            if not lost:
                return
            rules = self._rules[name]
            token = self._new_token()
            claims = [claim_send(job, rules=rules, token=token, now=now) for job in lost]
            landed = await self._store.apply(claims)
            jobs = [claim.after for claim, is_ours in zip(claims, landed, strict=True) if is_ours]
            _log.warning("messages lost by the queue are sent again", queue=name, jobs=len(jobs))
            self._observer.relay_resent(name, len(jobs))
            await self._send(name, jobs)
            if len(lost) < _BATCH:
                return
