"""A relay in a world of fakes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from jobqueue_core.domain.message import Message, decode
from jobqueue_core.relay import Relay, RelaySettings
from jobqueue_core.testing.clock import ManualClock
from jobqueue_core.testing.queue import MemoryQueue
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_testsupport.factories import FIFO_RULES, RULES, Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.transitions import Transition
    from jobqueue_core.ports.queue import EntryError

GRACE_SECONDS = RULES.relay_grace_seconds
SETTINGS = RelaySettings(poll_seconds=1, lost_after_seconds=60, resend_after_seconds=3600)


class Resent(Counter[str]):
    """Counts what the relay reports."""

    def relay_resent(self, queue: str, count: int) -> None:
        self[queue] += count


class RecordingQueue(MemoryQueue):
    """Remembers every message it was sent, taken or not."""

    def __init__(self, name: str, clock: ManualClock) -> None:
        super().__init__(name, clock)
        self.sent: list[Message] = []

    async def send(self, messages: Sequence[Message]) -> list[EntryError | None]:
        self.sent += messages
        return await super().send(messages)


class World:
    """A store, a standard and a FIFO queue, and relays."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryJobStore()
        self.queue = RecordingQueue("jobs", self.clock)
        self.fifo = RecordingQueue("orders.fifo", self.clock)
        self.resent = Resent()
        self.new_token = Tokens("relay")
        self.relay = self.make_relay()

    def make_relay(self) -> Relay:
        return Relay(
            store=self.store,
            queues={"jobs": self.queue, "orders": self.fifo},
            rules={"jobs": RULES, "orders": FIFO_RULES},
            clock=self.clock,
            settings=SETTINGS,
            observer=self.resent,
            new_token=self.new_token,
        )

    async def have(self, *jobs: Job) -> None:
        await self.store.insert(jobs)

    async def take(self, transition: Transition) -> None:
        assert await self.store.apply([transition]) == [True]

    def stored(self, job: Job) -> Job:
        return self.store.jobs[job.id]

    @property
    def sent(self) -> list[str]:
        return [decode(message.body) for message in self.queue.sent]

    @contextlib.asynccontextmanager
    async def running(self, *relays: Relay) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(relay.run()) for relay in relays or (self.relay,)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError)
                for end in await asyncio.gather(*tasks, return_exceptions=True)
            )
