"""An event loop that runs until nothing can go on by itself, and says so by returning."""

# ruff: noqa: ANN401 - tasks of any kind
from __future__ import annotations

import asyncio
import selectors
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    Tasks = set[asyncio.Task[Any]]

_TURNS_MAX = 10_000

# Whose tasks are being made: everything that a process starts belongs to it, and dies with it.
_OWNER: ContextVar[Tasks | None] = ContextVar("owner", default=None)


class _IdleSelector(selectors.SelectSelector):
    """Nothing in this world waits for a socket: to wait at all means that every task waits."""

    def __init__(self) -> None:
        super().__init__()
        self.on_idle: Callable[[], None] = lambda: None
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if timeout is None or timeout > 0:
            self.on_idle()
        elif self.turns > _TURNS_MAX:
            msg = "the tasks keep each other busy for ever"
            raise AssertionError(msg)
        return []


def _make_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    owner = _OWNER.get()
    if owner is not None:
        owner.add(task)
        task.add_done_callback(owner.discard)
    return task


class QuietLoop:
    """Owns the loop and knows which task belongs to whom."""

    def __init__(self) -> None:
        """Open a loop that only `settle` runs."""
        self._selector = _IdleSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._selector.on_idle = self._loop.stop
        self._loop.set_task_factory(_make_task)
        self.faults: list[str] = []
        self._loop.set_exception_handler(
            lambda _, context: self.faults.append(f"{context['message']}: {context.get('exception')!r}")
        )

    def start(self, owner: Tasks, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task, and whatever it starts, for an owner."""
        token = _OWNER.set(owner)
        try:
            return self._loop.create_task(coro)
        finally:
            _OWNER.reset(token)

    def within(self, owner: Tasks, make: Callable[[], Any]) -> Any:
        """Make something that needs a running loop; what it starts is the owner's."""

        async def inside() -> Any:
            return make()

        task = self.start(owner, inside())
        self.settle()
        return task.result()

    def settle(self) -> None:
        """Let every task run until all of them wait."""
        self._selector.turns = 0
        self._loop.run_forever()

    def kill(self, owner: Tasks) -> None:
        """End all of an owner's tasks; what they would still do reaches nothing, their ports being cut."""
        while owner:
            for task in tuple(owner):
                task.cancel()
            self.settle()

    def close(self) -> None:
        """Close the loop, every task having been killed."""
        self._loop.close()
