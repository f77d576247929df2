"""The dead-letter queue of a queue in memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from jobqueue_core.ports.queue import EntryError, Received

if TYPE_CHECKING:
    from jobqueue_core.domain.message import Message
    from jobqueue_core.ports.clock import Clock

# SQS: messages in one receive.
_RECEIVE_MAX = 10


@dataclass(slots=True)
class _Letter:
    id: str
    message: Message
    source: str | None
    visible_at: float
    receive_count: int = 0
    receipt: str | None = None


class MemoryLetters:
    """Letters that are hidden while somebody has them in hand; on a FIFO queue their group is, too."""

    def __init__(self, clock: Clock, *, fifo: bool) -> None:
        """Start empty."""
        self._clock = clock
        self._fifo = fifo
        self._ids = count(1)
        self._letters: dict[str, _Letter] = {}

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def messages(self) -> list[Message]:
        """Every letter, the oldest first, hidden ones too."""
        return [letter.message for letter in self._letters.values()]

    def put(self, message: Message, source: str | None = None) -> None:
        """Store a letter; `source` is the queue that moved it here by itself."""
        number = f"d{next(self._ids)}"
        self._letters[number] = _Letter(number, message, source, self._clock.monotonic())

    def empty(self) -> list[Message]:
        """Take every letter out."""
        messages = self.messages
        self._letters.clear()
        return messages

    def receive(self, max_messages: int, visibility_seconds: int) -> list[Received]:
        """Take visible letters and hide them."""
        now = self._clock.monotonic()
        hidden = {letter.message.group_id for letter in self._letters.values() if letter.visible_at > now}
        taken: list[Received] = []
        for letter in self._letters.values():
            if len(taken) == min(max_messages, _RECEIVE_MAX):
                break
            if letter.visible_at > now or (self._fifo and letter.message.group_id in hidden):
                continue
            letter.receive_count += 1
            letter.receipt = f"{letter.id}/{letter.receive_count}"
            letter.visible_at = now + visibility_seconds
            taken.append(
                Received(
                    letter.id,
                    letter.message.body,
                    letter.receipt,
                    letter.receive_count,
                    dict(letter.message.attributes),
                    letter.message.group_id,
                    letter.source,
                )
            )
        return taken

    def delete(self, receipt: str) -> None:
        """Delete by the newest receipt; an older one deletes nothing."""
        letter = self._by_receipt(receipt)
        if letter is not None:
            del self._letters[letter.id]

    def change_visibility(self, receipt: str, seconds: int) -> EntryError | None:
        """Show a letter again in so many seconds, by its newest receipt."""
        letter = self._by_receipt(receipt)
        if letter is None:
            return EntryError("MessageNotInflight", receipt, sender_fault=True)
        letter.visible_at = self._clock.monotonic() + seconds
        return None

    def _by_receipt(self, receipt: str) -> _Letter | None:
        return next((letter for letter in self._letters.values() if letter.receipt == receipt), None)

    def release(self) -> None:
        """Show every letter, as when whoever had them in hand has died and the time-out is over."""
        for letter in self._letters.values():
            letter.visible_at = self._clock.monotonic()
