"""The message queue: carries work, knows nothing of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobqueue_core.domain.message import Message


@dataclass(frozen=True, slots=True)
class Received:
    """A message in this consumer's hands until its visibility time-out ends.

    `receipt` is of this receive; a later receive makes another and the old one deletes nothing.
    """

    id: str
    body: str
    receipt: str
    receive_count: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    group_id: str | None = None
    moved_from: str | None = None
    """Of a dead letter that SQS moved by itself: the queue from which."""


@dataclass(frozen=True, slots=True)
class EntryError:
    """Why one entry of a batch was not done though the call itself succeeded."""

    code: str
    message: str
    sender_fault: bool


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """SQS's three counts; each approximate and eventually consistent."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All messages in the queue."""
        return self.visible + self.in_flight + self.delayed


class MessageQueue(Protocol):
    """One queue with its dead-letter queue.

    Batches may be of any size: the adapter cuts them into tens. Answers come in the order given,
    None for what was done. A call that fails as a whole raises QueueUnavailableError; of a batch
    of several calls those entries whose call failed carry an EntryError instead.
    """

    @property
    def name(self) -> str:
        """Name of the queue."""
        ...

    @property
    def fifo(self) -> bool:
        """Whether the queue keeps order within a message group."""
        ...

    async def prepare(self) -> None:
        """Find the queue and its dead-letter queue, or create them where the settings say so."""
        ...

    async def send(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Put messages into the queue."""
        ...

    async def receive(self, max_messages: int, wait_seconds: int) -> list[Received]:
        """Take up to ten messages, waiting up to `wait_seconds` (0-20) for the first."""
        ...

    async def delete(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Delete messages by the receipt of their newest receive."""
        ...

    async def change_visibility(self, changes: Sequence[tuple[str, int]]) -> list[EntryError | None]:
        """Make messages (by receipt) visible again in that many seconds from now (0-43200)."""
        ...

    async def dead_letter(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Put messages into the dead-letter queue."""
        ...

    async def counts(self) -> QueueCounts:
        """Return the queue's counts."""
        ...

    async def dead_letters(self) -> int:
        """Return how many messages the dead-letter queue holds, in hand or not (approximate)."""
        ...

    async def receive_dead_letters(
        self, max_messages: int, visibility_seconds: int, wait_seconds: int = 0
    ) -> list[Received]:
        """Take up to ten dead letters in hand for so long, waiting up to `wait_seconds` (0-20) for one."""
        ...

    async def delete_dead_letters(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Delete dead letters by the receipt of their newest receive."""
        ...

    async def show_dead_letters(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Make dead letters (by receipt) visible again at once."""
        ...

    async def can_move_dead_letters(self) -> bool:
        """Tell whether the queue can move its dead letters back by itself."""
        ...

    async def move_dead_letters(self) -> bool:
        """Have the queue move all its dead letters back; tell whether it has begun.

        False: it cannot, or is moving them already. Nothing may depend on it.
        """
        ...
