"""How far the jobs of this run are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobqueue_cli.accounts import Account, stored, total
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.heartbeat import PhaseCounts
from jobqueue_core.domain.job import Phase
from jobqueue_core.ports.store import JobFilter

if TYPE_CHECKING:
    from jobqueue_cli.system import System
    from jobqueue_core.ports.clock import Clock

_POLL_SECONDS = 0.2
# Counting is linear in the jobs that are kept: it may take a tenth of the time, not more.
_SHARE_OF_TIME = 10
_PAGE = 1000
_UNFINISHED_MAX = 10_000
_RECOUNTS = 5
_RECOUNT_SECONDS = 1.0


class Progress:
    """Counts jobs since `begin`."""

    def __init__(self, system: System, clock: Clock) -> None:
        self._system = system
        self._clock = clock
        self.before = PhaseCounts()
        self.counts = PhaseCounts()
        self._accepted_before: int | None = None
        self._first_seen: float | None = None

    async def begin(self) -> None:
        """Take what everything is compared with."""
        # Stored before accepted, and the other way round at the end: what a client submits in between can
        # look like a job too many, and never like a lost one.
        self.before = self.counts = await self._count()
        self._accepted_before = await self._system.accepted()

    @property
    def finished(self) -> int:
        """Jobs that have reached a final state since the start."""
        return self.counts.finished - self.before.finished

    async def read(self) -> float:
        """Count again.

        Returns:
            Seconds to wait before the next time, so that counting stays a small part of the load.
        """
        started = self._clock.monotonic()
        self.counts = await self._count()
        if self._first_seen is None and (stored(self.counts) > stored(self.before) or self.counts.unfinished):
            self._first_seen = started
        return max(_POLL_SECONDS, _SHARE_OF_TIME * (self._clock.monotonic() - started))

    async def wait_finished(self, jobs: int) -> None:
        """Wait until that many jobs have reached a final state since the start."""
        while True:
            try:
                wait = await self.read()
            except JobQueueError:
                wait = _POLL_SECONDS  # the database is being started again
            if self.finished >= jobs:
                return
            await self._clock.sleep(wait)

    async def account(self) -> Account:
        """End the workers and draw up the account of the run."""
        ended = self._clock.monotonic()
        await self._await_heartbeats()
        await self._system.end_workers()
        account = await self._draw_up(ended)
        for _ in range(_RECOUNTS):
            if not account.lost:
                break
            # The counts of a real queue are approximate and settle late.
            await self._clock.sleep(_RECOUNT_SECONDS)
            account = await self._draw_up(ended)
        return account

    async def _draw_up(self, ended: float) -> Account:
        accepted = await self._accepted()
        messages = [await queue.counts() for queue in self._system.connections.queues.values()]
        unpromised = [await self._unpromised(name) for name in self._system.connections.queues]
        tallies = [scaler.tally for scaler in self._system.scalers]
        return Account(
            before=self.before,
            after=await self._count(),
            accepted=accepted,
            unpromised=sum(unpromised),
            messages=sum(counts.total for counts in messages),
            attempts=sum(tally.attempts for tally in tallies),
            retries=sum(tally.retries for tally in tallies),
            elapsed_seconds=ended - (self._first_seen or ended),
        )

    async def _accepted(self) -> int | None:
        now = await self._system.accepted()
        return None if now is None or self._accepted_before is None else now - self._accepted_before

    async def _count(self) -> PhaseCounts:
        connections = self._system.connections
        return total(await asyncio.gather(*(connections.store.counts(name) for name in connections.queues)))

    async def _unpromised(self, queue: str) -> int:
        """Count unfinished jobs that only a message can run, the newest ten thousand of each phase."""
        found = 0
        for phase in (Phase.QUEUED, Phase.RUNNING, Phase.RETRYING):
            before: str | None = None
            for _ in range(_UNFINISHED_MAX // _PAGE):
                which = JobFilter(queue=queue, phase=phase)
                page = await self._system.connections.store.page(which, limit=_PAGE, before=before)
                found += sum(job.due_at is None for job in page)
                if len(page) < _PAGE:
                    break
                before = page[-1].id
        return found

    async def _await_heartbeats(self) -> None:
        """Wait, one heartbeat at most, until the workers have told of everything that is finished."""
        scalers = self._system.scalers
        if not scalers:
            return
        end = self._clock.monotonic() + scalers[0].heartbeat_seconds + _POLL_SECONDS
        while self._clock.monotonic() < end:
            for scaler in scalers:
                await scaler.read_heartbeats()
            if sum(scaler.tally.finished for scaler in scalers) >= self.finished:
                return
            await self._clock.sleep(_POLL_SECONDS)
