"""Fakes of the operator's ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_operator.ports import Replicas

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from jobqueue_operator.scaling import Observation


class FakeTarget:
    """Workers that are numbers.

    Attributes:
        failures: Raised by the next calls of `scale`, one a call.
        scaled: Every call of `scale` that went well: the number, and the busy ids.
    """

    def __init__(self, replicas: int = 0) -> None:
        self.replicas = replicas
        self.failures: list[Exception] = []
        self.scaled: list[tuple[int, frozenset[str]]] = []
        self.closed = False

    async def current(self) -> Replicas:
        """What was last asked for, all of it ready."""
        return Replicas(self.replicas, self.replicas)

    async def scale(self, to: int, busy: Collection[str]) -> None:
        """Have that many, or fail as told."""
        if self.failures:
            raise self.failures.pop(0)
        self.replicas = to
        self.scaled.append((to, frozenset(busy)))

    async def close(self) -> None:
        """Note it."""
        self.closed = True


class ScriptedObserver:
    """Readings from a script; an exception in it is raised; the last one stays.

    Attributes:
        observed: Number of readings taken.
    """

    def __init__(self, script: Iterable[Observation | Exception]) -> None:
        self._script = list(script)
        self.observed = 0

    async def observe(self) -> Observation:
        """The next reading."""
        reading = self._script[min(self.observed, len(self._script) - 1)]
        self.observed += 1
        if isinstance(reading, Exception):
            raise reading
        return reading
