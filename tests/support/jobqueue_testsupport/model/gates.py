"""Calls of ports that wait to be let through: once before they have their effect, once before they answer."""

# ruff: noqa: ANN401 - calls of any port pass through here
from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Half(StrEnum):
    """What a parked call does next."""

    EFFECT = "effect"
    ANSWER = "answer"


class Fault(StrEnum):
    """How a call goes wrong."""

    REFUSED = "refused"
    """It fails and has done nothing."""
    LOST = "lost"
    """It does everything, and then it fails: the answer is lost."""
    PARTIAL = "partial"
    """It does the first half of its batch, and then it fails."""
    REPEATED = "repeated"
    """The client does it twice, as drivers do whose connection breaks; the second answer counts."""
    ENTRY = "entry"
    """It succeeds, but the first entry of its batch is refused."""


@dataclass(eq=False, slots=True)
class Parked:
    """One call that waits; `useful` tells whether letting it through would change anything."""

    name: str
    half: Half
    go: asyncio.Future[Fault | None]
    useful: Callable[[], bool]


def _always() -> bool:
    return True


class Gate:
    """Everything that one process asks of the outside world goes through here."""

    def __init__(self, seen: Callable[[str], None]) -> None:
        """Take who looks at the world after each effect, told by the call's name."""
        self._seen = seen
        self._is_cut = False
        self.answers: list[str] = []
        self.parked: list[Parked] = []

    def cut(self) -> None:
        """Let nothing through any more: the process is dead."""
        self._is_cut = True

    async def passed(
        self,
        name: str,
        do: Callable[[Fault | None], Awaitable[Any]],
        away: type[Exception],
        useful: Callable[[], bool] = _always,
    ) -> Any:
        """Do the call when it is let through; a fault bends what is done, or raises `away`."""
        fault = await self._turn(name, Half.EFFECT, useful)
        if fault is Fault.REFUSED:
            self.answers.append(f"{name} failed")
            raise away(fault)
        answer = await do(fault)
        self._seen(name)
        faults = {fault, await self._turn(name, Half.ANSWER, _always)}
        if faults & {Fault.LOST, Fault.PARTIAL, Fault.REFUSED}:
            self.answers.append(f"{name} failed")
            raise away(fault)
        if Fault.REPEATED in faults:
            answer = await do(None)
            self._seen(name)
        self.answers.append(f"{name} {answer!r}")
        return answer

    async def _turn(self, name: str, half: Half, useful: Callable[[], bool]) -> Fault | None:
        if self._is_cut:
            raise asyncio.CancelledError
        parked = Parked(name, half, asyncio.get_running_loop().create_future(), useful)
        self.parked.append(parked)
        try:
            return await parked.go
        finally:
            self.parked.remove(parked)
