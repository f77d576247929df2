"""A message queue in memory: visibility, receipts, FIFO groups, de-duplication, and faults on demand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.ports.queue import EntryError, QueueCounts, Received
from jobqueue_core.testing.letters import MemoryLetters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.message import Message
    from jobqueue_core.ports.clock import Clock

# SQS: messages in one receive; length of the FIFO de-duplication interval.
_RECEIVE_MAX = 10
_DEDUPLICATION_SECONDS = 300.0


@dataclass(slots=True)
class _Stored:
    id: str
    message: Message
    visible_at: float
    receive_count: int = 0
    receipt: str | None = None


@dataclass(slots=True)
class Faults:
    """What goes wrong next.

    Attributes:
        away: every call fails as a whole.
        entries: codes with which the next entries of batches fail, one each, the call itself succeeding.
        send_entries: the same, of sends alone.
        duplicate: every receive leaves the message visible, as a standard queue may.

    """

    away: bool = False
    entries: list[str] = field(default_factory=list)
    send_entries: list[str] = field(default_factory=list)
    duplicate: bool = False


class MemoryQueue:
    """Implements the port `MessageQueue`."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        visibility_timeout_seconds: float = 60.0,
        max_receive_count: int = 10,
    ) -> None:
        """Start empty; a name that ends in `.fifo` makes a FIFO queue."""
        self._name = name
        self._clock = clock
        self._visibility = visibility_timeout_seconds
        self._max_receive_count = max_receive_count
        self._messages: dict[str, _Stored] = {}
        self._deduplicated: dict[str, float] = {}
        self._ids = count(1)
        self._arrival = asyncio.Event()
        self.letters = MemoryLetters(clock, fifo=self.fifo)
        self.moves_letters = False
        """Whether it can move dead letters back by itself, as SQS can and not every server for tests."""
        self.faults = Faults()
        self.calls = 0

    @property
    def name(self) -> str:
        """Name of the queue."""
        return self._name

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""
        return self._name.endswith(".fifo")

    @property
    def dead(self) -> list[Message]:
        """Every dead letter, the oldest first."""
        return self.letters.messages

    @property
    def bodies(self) -> list[str]:
        """Bodies of every message in the queue, visible or not."""
        return [stored.message.body for stored in self._messages.values()]

    @property
    def messages(self) -> list[Message]:
        """Every message in the queue, as it was sent."""
        return [stored.message for stored in self._messages.values()]

    @property
    def receive_counts(self) -> list[int]:
        """How often each message in the queue has been received."""
        return [stored.receive_count for stored in self._messages.values()]

    def lose_everything(self) -> None:
        """Forget every message, as a queue that crashed would."""
        self._messages.clear()

    def _call(self) -> None:
        self.calls += 1
        if self.faults.away:
            msg = f"the queue {self._name} is away"
            raise QueueUnavailableError(msg)

    def _entry_fault(self, codes: list[str] | None = None) -> EntryError | None:
        """Take the next code of those given, or of those that are for any batch."""
        codes = codes or self.faults.entries
        return EntryError(codes.pop(0), "made to fail", sender_fault=False) if codes else None

    async def prepare(self) -> None:
        """Nothing to create."""
        self._call()

    async def send(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Store messages."""
        self._call()
        return [self._put(message) for message in messages]

    def _put(self, message: Message) -> EntryError | None:
        fault = self._entry_fault(self.faults.send_entries)
        if fault is not None:
            return fault
        now = self._clock.monotonic()
        if self.fifo and message.deduplication_id is not None:
            seen = self._deduplicated.get(message.deduplication_id)
            if seen is not None and now - seen < _DEDUPLICATION_SECONDS:
                return None
            self._deduplicated[message.deduplication_id] = now
        number = f"m{next(self._ids)}"
        self._messages[number] = _Stored(number, message, visible_at=now + message.delay_seconds)
        self._arrival.set()
        return None

    async def receive(self, max_messages: int, wait_seconds: int) -> list[Received]:
        """Take visible messages; wait for one on the clock it was given."""
        self._call()
        deadline = self._clock.monotonic() + wait_seconds
        while True:
            taken = self._take(max_messages)
            left = deadline - self._clock.monotonic()
            if taken or left <= 0:
                return taken
            await self._next_chance(left)
            self._call()

    async def _next_chance(self, longest: float) -> None:
        """Wait for an arrival, or until a message that is hidden now comes back."""
        now = self._clock.monotonic()
        returns = [stored.visible_at - now for stored in self._messages.values() if stored.visible_at > now]
        self._arrival.clear()
        arrival = asyncio.ensure_future(self._arrival.wait())
        timer = asyncio.ensure_future(self._clock.sleep(min([longest, *returns])))
        try:
            await asyncio.wait({arrival, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrival.cancel()
            timer.cancel()

    def _take(self, max_messages: int) -> list[Received]:
        now = self._clock.monotonic()
        blocked = {
            stored.message.group_id
            for stored in self._messages.values()
            if self.fifo and stored.visible_at > now
        }
        taken: list[Received] = []
        for stored in [*self._messages.values()]:
            if len(taken) == min(max_messages, _RECEIVE_MAX):
                break
            if stored.visible_at > now or (self.fifo and stored.message.group_id in blocked):
                continue
            if stored.receive_count == self._max_receive_count:
                # SQS: what was received so often goes to the dead-letter queue as it is.
                self.letters.put(self._messages.pop(stored.id).message, source=self._name)
                continue
            stored.receive_count += 1
            stored.receipt = f"{stored.id}/{stored.receive_count}"
            if not self.faults.duplicate:
                stored.visible_at = now + self._visibility
            taken.append(
                Received(
                    stored.id,
                    stored.message.body,
                    stored.receipt,
                    stored.receive_count,
                    dict(stored.message.attributes),
                    stored.message.group_id,
                )
            )
        return taken

    async def delete(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Delete by the newest receipt; an older one is accepted and deletes nothing, as in SQS."""
        self._call()
        answers: list[EntryError | None] = []
        for receipt in receipts:
            fault = self._entry_fault()
            stored = self._by_receipt(receipt)
            if fault is None and stored is not None:
                del self._messages[stored.id]
                # Whatever stood behind it in its group may be received now.
                self._arrival.set()
            answers.append(fault)
        return answers

    async def change_visibility(self, changes: Sequence[tuple[str, int]]) -> list[EntryError | None]:
        """Change visibility by the newest receipt."""
        self._call()
        answers: list[EntryError | None] = []
        for receipt, seconds in changes:
            fault = self._entry_fault()
            stored = self._by_receipt(receipt)
            if fault is None and stored is None:
                fault = EntryError("MessageNotInflight", receipt, sender_fault=True)
            if fault is None and stored is not None:
                stored.visible_at = self._clock.monotonic() + seconds
                self._arrival.set()
            answers.append(fault)
        return answers

    def _by_receipt(self, receipt: str) -> _Stored | None:
        return next((stored for stored in self._messages.values() if stored.receipt == receipt), None)

    async def dead_letter(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Store dead letters."""
        self._call()
        answers: list[EntryError | None] = []
        for message in messages:
            fault = self._entry_fault()
            if fault is None:
                self.letters.put(message)
            answers.append(fault)
        return answers

    async def counts(self) -> QueueCounts:
        """Count exactly."""
        self._call()
        now = self._clock.monotonic()
        hidden = sum(stored.visible_at > now for stored in self._messages.values())
        return QueueCounts(len(self._messages) - hidden, hidden, 0)

    async def dead_letters(self) -> int:
        """Count dead letters."""
        self._call()
        return len(self.letters)

    async def receive_dead_letters(
        self, max_messages: int, visibility_seconds: int, wait_seconds: int = 0
    ) -> list[Received]:
        """Take dead letters; what is not there does not come by waiting."""
        del wait_seconds
        self._call()
        return self.letters.receive(max_messages, visibility_seconds)

    async def delete_dead_letters(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Delete dead letters by their newest receipt."""
        self._call()
        answers: list[EntryError | None] = []
        for receipt in receipts:
            fault = self._entry_fault()
            if fault is None:
                self.letters.delete(receipt)
            answers.append(fault)
        return answers

    async def show_dead_letters(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Show dead letters again at once."""
        self._call()
        return [self._entry_fault() or self.letters.change_visibility(receipt, 0) for receipt in receipts]

    async def can_move_dead_letters(self) -> bool:
        """Tell what was set."""
        self._call()
        return self.moves_letters

    async def move_dead_letters(self) -> bool:
        """Move all dead letters at once, where that is possible."""
        self._call()
        if self.moves_letters:
            for message in self.letters.empty():
                self._put(message)
        return self.moves_letters
