"""Order within a message group of a FIFO queue.

SQS hands out several messages of one group in one receive, in order, and then none until they
are settled (SQS FIFO delivery logic). Within a worker they run one after another; when one has to
wait for its retry, those behind it go back, and the queue keeps them behind it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobqueue_worker.held import Held


class GroupOrder:
    """Which message of each group may run; messages without a group always may."""

    def __init__(self) -> None:
        """Start with no group."""
        self._behind: dict[str, deque[Held]] = {}

    def admit(self, held: Held) -> bool:
        """Tell whether the message may run now; otherwise it is kept behind the one of its group."""
        group = held.message.group_id
        if group is None:
            return True
        if group not in self._behind:
            self._behind[group] = deque()
            return True
        self._behind[group].append(held)
        return False

    def leave(self, held: Held) -> Held | None:
        """Return the message that may run next, now that this one is done for good."""
        group = held.message.group_id
        if group is None:
            return None
        behind = self._behind[group]
        if behind:
            return behind.popleft()
        del self._behind[group]
        return None

    def break_off(self, held: Held) -> list[Held]:
        """Return the messages to give back, now that this one has to come again."""
        group = held.message.group_id
        return [] if group is None else list(self._behind.pop(group, ()))

    def break_off_all(self) -> list[Held]:
        """Return every message that is kept behind another, and keep none."""
        kept = [held for behind in self._behind.values() for held in behind]
        for behind in self._behind.values():
            behind.clear()
        return kept
