"""What the control loop needs from the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobqueue_operator.scaling import Observation


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many workers a target has.

    Attributes:
        desired: Asked for.
        ready: Running, those that are ending left out.
        terminating: Asked to end and still there.
    """

    desired: int
    ready: int
    terminating: int = 0


class ScaleTarget(Protocol):
    """Runs the workers of one queue."""

    async def current(self) -> Replicas:
        """Tell how many workers there are."""
        ...

    async def scale(self, to: int, busy: Collection[str]) -> None:
        """Converge to this many workers; called again with the same number it repairs what died.

        Args:
            to: Workers to have.
            busy: Ids of workers with a job in hand, to be spared while idle ones can go.
        """
        ...

    async def close(self) -> None:
        """Give back what the target holds."""
        ...


class Observer(Protocol):
    """Reads one queue, its store and its workers' heartbeats."""

    async def observe(self) -> Observation:
        """Read everything once.

        A reading that fails is `Unknown` in the observation; an exception makes all of it unknown.
        The control loop fills in `current` and `ready` from its target.
        """
        ...
