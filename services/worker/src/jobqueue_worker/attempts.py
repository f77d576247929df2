"""What happens with one received message."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from jobqueue_core import failpoints
from jobqueue_core.batching import Batcher
from jobqueue_core.domain.claims import Verdict
from jobqueue_core.domain.errors import MessageFormatError, StoreUnavailableError
from jobqueue_core.domain.job import Phase, Step
from jobqueue_core.domain.message import decode
from jobqueue_core.domain.outcome import Outcome, of_stopped_worker
from jobqueue_core.domain.times import seconds_until
from jobqueue_core.domain.transitions import Transition, finish, give_back, note_step
from jobqueue_worker.held import Cut

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.transitions import JobRules
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.store import JobStore
    from jobqueue_worker.caller import Processor
    from jobqueue_worker.claims import Claim, Claimer
    from jobqueue_worker.flow import FlowGate
    from jobqueue_worker.gate import StoreGate
    from jobqueue_worker.held import Held, Holdings
    from jobqueue_worker.settle import Settler
    from jobqueue_worker.slots import Slots
    from jobqueue_worker.stats import WorkerStats

_log = structlog.get_logger(__name__)

_BATCH = 50
# One at a time: what comes meanwhile makes the next batch fuller and all of them cheaper.
_IN_FLIGHT = 1


class MessageHandler:
    """Decode, claim, call, record, settle: in this order, so that dying between two steps loses nothing."""

    def __init__(  # noqa: PLR0913 - the one wiring point, all by keyword
        self,
        *,
        store: JobStore,
        processor: Processor,
        slots: Slots,
        claimer: Claimer,
        settler: Settler,
        holdings: Holdings,
        gate: StoreGate,
        flow: FlowGate,
        stats: WorkerStats,
        rules: JobRules,
        clock: Clock,
        new_token: Callable[[], str],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take the parts; `jitter` gives uniform random numbers in [0, 1)."""
        self._store = store
        self._processor = processor
        self._slots = slots
        self._claimer = claimer
        self._settler = settler
        self._holdings = holdings
        self._gate = gate
        self._flow = flow
        self._stats = stats
        self._rules = rules
        self._clock = clock
        self._new_token = new_token
        self._jitter = jitter
        self._records: Batcher[Transition, bool] = Batcher(
            self._apply, max_size=_BATCH, max_in_flight=_IN_FLIGHT
        )

    async def _apply(self, transitions: list[Transition]) -> list[bool]:
        failpoints.hit("worker.before_record")
        landed = await self._store.apply(transitions)
        failpoints.hit("worker.after_record")
        return landed

    async def handle(self, held: Held) -> Coroutine[object, object, None] | None:
        """Do what the message asks for; afterwards it is held no longer.

        The job is claimed before a slot is free, so that the slot then has only the call to make.

        Returns:
            What is left to do once the external service has answered, if it was called.

        """
        try:
            job_id = decode(held.message.body)
        except MessageFormatError as error:
            await self._settler.dead_letter_foreign(held, str(error))
            return None
        held.job_id = job_id
        if not await self._flow.admit(held):
            self._settler.hide(held, 0)
            return None
        try:
            return await self._admitted(job_id, held)
        finally:
            self._flow.leave(held)

    async def _admitted(self, job_id: str, held: Held) -> Coroutine[object, object, None] | None:
        claim = await self._claim(job_id, held)
        if claim is None:
            return None
        if claim.verdict is Verdict.RUN and claim.job is not None:
            return await self._attempt(claim.job, held)
        await self._dispose(job_id, claim, held)
        return None

    async def _dispose(self, job_id: str, claim: Claim, held: Held) -> None:
        """End a message whose job is not to be run."""
        job = claim.job
        if claim.verdict is Verdict.DROP:
            self._settler.delete(held)
        elif claim.verdict is Verdict.WAIT:
            self._settler.hide(held, claim.wait_seconds)
        elif claim.verdict is Verdict.DEAD_LETTER and job is not None:
            await self._settler.dead_letter_job(held, job)
        elif claim.verdict is Verdict.EXHAUSTED and job is not None:
            await self._exhausted(job, held)
        else:
            await self._settler.dead_letter_foreign(held, f"no such job: {job_id}")

    async def _claim(self, job_id: str, held: Held) -> Claim | None:
        """Claim, waiting out an outage of the store; None when the worker has to end meanwhile."""
        while True:
            try:
                return await self._claimer.claim(job_id, held)
            except StoreUnavailableError as error:
                self._gate.shut(error)
            if await self._wait(held) is not None:
                self._settler.hide(held, 0)
                return None

    async def _wait(self, held: Held) -> Cut | None:
        """Wait for the store; return why not, if the message is to be given up first."""
        passed = asyncio.ensure_future(self._gate.passed())
        either: set[asyncio.Future[None] | asyncio.Future[Cut]] = {passed, held.cut}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            passed.cancel()
        return held.cut.result() if held.cut.done() else None

    async def _exhausted(self, job: Job, held: Held) -> None:
        """Finish a message whose job was failed because its last attempt was lost, by the claim."""
        if job.phase is Phase.FAILED:
            self._stats.closed(job, self._clock.now())
            await self._settle(job, held)
        else:
            self._settler.hide(held, 0)

    async def _attempt(self, job: Job, held: Held) -> Coroutine[object, object, None]:
        held.job = job
        if not await self._slots.take():
            return self._give_back(held, job)
        try:
            if not await self._may_call(held, job):
                return self._give_back(held, job)
            began = self._clock.monotonic()
            with self._stats.busy_with(job):
                outcome = await self._call(job, held)
            self._flow.answered(held, outcome)
        finally:
            self._slots.give_back()
        return self._conclude(held, job, outcome, self._clock.monotonic() - began)

    async def _give_back(self, held: Held, job: Job) -> None:
        """Return a job that was claimed and never called, the worker being told to stop."""
        await self._record(give_back(held.job or job, token=self._new_token(), now=self._clock.now()), held)
        self._settler.hide(held, 0)

    async def _conclude(self, held: Held, job: Job, outcome: Outcome | None, seconds: float) -> None:
        """Record the outcome, then settle the message."""
        if outcome is None:
            _log.warning("attempt abandoned, the job is not ours any more", job_id=job.id)
            self._holdings.drop(held)
            return
        now = self._clock.now()
        # The lease may have been extended since the claim: the newest state is the one to end.
        job = held.job or job
        transition = finish(
            job, outcome, rules=self._rules, jitter=self._jitter(), token=self._new_token(), now=now
        )
        if not await self._record(transition, held):
            _log.warning("outcome dropped, the job is not ours any more", job_id=job.id, attempt=job.attempts)
            self._holdings.drop(held)
            return
        after = transition.after
        self._stats.recorded(after, outcome, seconds, now)
        _log.info(
            "attempt ended",
            job_id=job.id,
            queue=job.queue,
            attempt=job.attempts,
            outcome=outcome.kind.value,
            code=outcome.code,
            seconds=round(seconds, 4),
            phase=after.phase.value,
            error=outcome.error,
        )
        await self._settle(after, held)

    async def _call(self, job: Job, held: Held) -> Outcome | None:
        """Call the service; None when the job is not ours any more."""
        failpoints.hit("worker.before_call")
        call = asyncio.ensure_future(self._processor.call(job))
        either: set[asyncio.Future[Outcome] | asyncio.Future[Cut]] = {call, held.cut}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                failpoints.hit("worker.after_call")
                if job.deaths:
                    await self._note(held, held.job or job, Step.ANSWERED)
                return call.result()
            return of_stopped_worker() if held.cut.result() is Cut.RELEASED else None
        finally:
            call.cancel()

    async def _may_call(self, held: Held, job: Job) -> bool:
        """Tell whether the job is still ours; of one that has killed a worker note where it goes on.

        A process that stood still (SIGSTOP, a paused machine) may find its lease run out: another one
        may be calling by now.
        """
        job = held.job or job
        if held.cut.done() or not job.lease.is_held(self._clock.now()):
            return False
        return not job.deaths or await self._note(held, job, Step.CALLING)

    async def _note(self, held: Held, job: Job, step: Step) -> bool:
        transition = note_step(job, step)
        is_ours = await self._record(transition, held)
        if is_ours and held.job is job:
            held.job = transition.after
        return is_ours

    async def _record(self, transition: Transition, held: Held) -> bool:
        """Write the outcome, waiting out an outage of the store for as long as the job is ours.

        The same transition again is harmless: the store tells whether it is there already.
        """
        while True:
            try:
                return await self._records.submit(transition)
            except StoreUnavailableError as error:
                self._gate.shut(error)
            if await self._wait(held) is not None:
                return False

    async def _settle(self, job: Job, held: Held) -> None:
        if job.phase is Phase.RETRYING:
            self._settler.hide(held, seconds_until(job.run_at, self._clock.now()))
        elif job.id != held.job_id:
            # It was the first job of the key. The message is still owed to its own; a dead letter of the
            # other is paid by the relay.
            self._settler.hide(held, 0)
        elif job.phase is Phase.FAILED:
            await self._settler.dead_letter_job(held, job)
        else:
            # Succeeded, or parked in the store for longer than a message may wait.
            self._settler.delete(held)

    async def close(self) -> None:
        """Flush outcomes that wait."""
        await self._records.close()
