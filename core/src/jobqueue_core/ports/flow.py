"""Where the workers of a queue share what they may ask of the external service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobqueue_core.domain.flow import FlowState


class FlowStore(Protocol):
    """Keeps one small state a queue.

    Every method raises StoreUnavailableError while the store cannot be reached.
    """

    async def load(self, queue: str) -> FlowState | None:
        """Return the queue's state; None: nobody has written one."""
        ...

    async def load_many(self, queues: Collection[str]) -> dict[str, FlowState]:
        """Return the states of those queues that have one."""
        ...

    async def swap(self, before: FlowState, after: FlowState) -> bool:
        """Write `after` if `before` still stands, compared by version; `before` of version 0 is not there.

        False when somebody else was quicker. Without an answer it may have been written or not.
        """
        ...
