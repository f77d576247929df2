"""Whose a queue in SQS is, as its tag says: a JobQueue of one cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Owners:
    """Writes and reads the tag.

    Two clusters may share an AWS account and even have JobQueues of the same name, so the tag names the
    cluster too. Of its own cluster the operator knows whether an owner still exists; a queue that was kept
    when its JobQueue went may then be taken over by another JobQueue.

    Args:
        cluster: What tells this cluster from others; None when it could not be read.
        exists: Tells whether a JobQueue (namespace, name) exists; where that cannot be known, it does.
    """

    def __init__(self, cluster: str | None, exists: Callable[[str, str], bool]) -> None:
        self._cluster = cluster
        self._exists = exists

    def tag(self, namespace: str, name: str) -> str:
        """Return the value of the tag for a JobQueue of this cluster."""
        return f"{namespace}/{name}" + (f"@{self._cluster}" if self._cluster else "")

    def gone(self, owner: str) -> bool:
        """Tell of a tag's value whether its JobQueue is known not to exist any more."""
        jobqueue, _, cluster = owner.partition("@")
        namespace, _, name = jobqueue.partition("/")
        if not self._cluster or cluster != self._cluster or not name:
            return False
        return not self._exists(namespace, name)
