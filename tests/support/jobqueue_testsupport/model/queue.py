"""The fake queue with the habits of a standard SQS queue that a test may ask for one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_core.domain.message import decode
from jobqueue_core.testing.queue import MemoryQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.message import Message
    from jobqueue_core.ports.queue import EntryError
    from jobqueue_core.testing.clock import ManualClock
    from jobqueue_testsupport.model.witness import Witness


class ModelQueue(MemoryQueue):
    """Tells the witness what it takes; delivers twice, out of order, or not at all."""

    def __init__(
        self, name: str, clock: ManualClock, visibility_timeout_seconds: int, witness: Witness
    ) -> None:
        """Start empty."""
        super().__init__(
            name, clock, visibility_timeout_seconds=visibility_timeout_seconds, max_receive_count=1000
        )
        self._time = clock
        self._witness = witness

    @property
    def job_ids(self) -> list[str]:
        """The jobs that its messages name, in order."""
        return [decode(body) for body in self.bodies]

    @property
    def state(self) -> str:
        """Everything that tells one state of the queue from another."""
        return repr((self._messages, self.dead))

    def has_visible(self) -> bool:
        """Whether a receive would bring something."""
        return any(stored.visible_at <= self._time.monotonic() for stored in self._messages.values())

    def next_visible_in(self) -> list[float]:
        """Return in how many seconds each hidden message shows again."""
        now = self._time.monotonic()
        return [stored.visible_at - now for stored in self._messages.values() if stored.visible_at > now]

    def redeliver(self, number: int) -> bool:
        """Show a message that somebody holds, as a queue with at-least-once delivery may."""
        now = self._time.monotonic()
        hidden = [stored for stored in self._messages.values() if stored.visible_at > now]
        if hidden:
            hidden[number % len(hidden)].visible_at = now
        return bool(hidden)

    def lose(self, number: int) -> str | None:
        """Lose a message, as a queue whose process was killed may; return the job it named."""
        if not self._messages:
            return None
        name = list(self._messages)[number % len(self._messages)]
        return decode(self._messages.pop(name).message.body)

    def rotate(self) -> bool:
        """Put the oldest message behind the others: a standard queue promises no order."""
        if len(self._messages) > 1:
            oldest = next(iter(self._messages))
            self._messages[oldest] = self._messages.pop(oldest)
            return True
        return False

    async def send(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Send, before the witness."""
        answers = await super().send(messages)
        with self._witness.watching():
            self._witness.saw_sends(_taken(messages, answers))
        return answers

    async def dead_letter(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Take dead letters, before the witness."""
        answers = await super().dead_letter(messages)
        with self._witness.watching():
            self._witness.saw_letters(_taken(messages, answers))
        return answers


def _taken(messages: Sequence[Message], answers: Sequence[EntryError | None]) -> list[Message]:
    return [message for message, answer in zip(messages, answers, strict=True) if answer is None]
