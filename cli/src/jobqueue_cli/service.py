"""One process of the system that is to run until told otherwise."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobqueue_cli.datadir import tail
from jobqueue_cli.errors import CommandError
from jobqueue_cli.restarts import RestartBudget
from jobqueue_operator.targets.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from jobqueue_core.ports.clock import Clock

_READY_SECONDS = 30.0
_PROBE_SECONDS = 0.03
_REAP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """What a service is.

    Attributes:
        name: For people, and of its log file.
        command: Program and arguments.
        env: Its whole environment.
        log: Where its output goes, at the end of the file.
        is_ready: Asks it, in its own protocol, whether it serves.
        stop_seconds: Time between SIGTERM and SIGKILL.
        ready_seconds: Longest wait for it to serve after a start.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    is_ready: Callable[[], Awaitable[bool]]
    stop_seconds: float = 10.0
    ready_seconds: float = _READY_SECONDS


@dataclass(slots=True)
class Service:
    """Keeps one process running: the same launcher as for workers, so it cannot outlive this process.

    Args:
        plan: What it is.
        clock: Time and waiting.
        say: Tells people of a death and of a restart.
        budget: How often it may be restarted.
    """

    plan: ServicePlan
    clock: Clock
    say: Callable[[str], None]
    budget: RestartBudget = field(default_factory=RestartBudget)
    restarts: int = 0
    _process: WorkerProcess | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            CommandError: It cannot be started, ends, or does not serve in time; with the tail of its log.
        """
        plan = self.plan
        process = await self._launch()
        ready = asyncio.ensure_future(self._served())
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait(
                {ready, ended}, timeout=plan.ready_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in (ready, ended):
                each.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)
        if not ready.cancelled():
            ready.result()
        elif not ended.cancelled():
            raise self._failure(f"ended at its start with exit code {ended.result()}")
        else:
            raise self._failure(f"does not answer within {plan.ready_seconds:g} s")

    async def keep(self) -> None:
        """Wait for the process to end unasked, and start it again, as often as the budget allows.

        Raises:
            CommandError: It died once too often.
        """
        while self._process is not None:
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            left = self.budget.after_death(self.clock.monotonic())
            if left is None:
                often = f"{self.budget.most + 1} times within {self.budget.window_seconds:g} s"
                raise self._failure(f"ended {often}, last with exit code {code}")
            self.budget, wait = left
            await self.clock.sleep(wait)
            async with self._changing:
                if self._stopping.is_set():
                    return
                self.say(f"{self.plan.name} ended unasked (exit code {code}) and is started again")
                self.restarts += 1
                await self._launch()

    async def stop(self) -> None:
        """End the process: SIGTERM, and SIGKILL when it takes too long."""
        self._stopping.set()
        async with self._changing:
            process = self._process
        if process is None:
            return
        if not process.killed:
            process.ask_to_end()
        try:
            async with asyncio.timeout(self.plan.stop_seconds):
                await process.wait()
        except TimeoutError:
            self.say(f"{self.plan.name} did not end within {self.plan.stop_seconds:g} s and is killed")
        finally:
            process.kill()  # nothing to do where it has ended
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REAP_SECONDS):
                    await process.wait()

    def kill(self) -> None:
        """Send SIGKILL at once."""
        self._stopping.set()
        if self._process is not None:
            self._process.kill()

    async def _launch(self) -> WorkerProcess:
        plan = self.plan
        try:
            self._process = await WorkerProcess.start(
                plan.command,
                plan.env,
                worker_id=plan.name,
                slot=0,
                log=plan.log,
                now=self.clock.monotonic(),
            )
        except OSError as error:
            raise CommandError(f"{plan.name} cannot be started: {error}") from error
        return self._process

    async def _served(self) -> None:
        while not await self.plan.is_ready():
            await self.clock.sleep(_PROBE_SECONDS)

    def _failure(self, what: str) -> CommandError:
        return CommandError(f"{self.plan.name} {what}; the end of {self.plan.log}:\n{tail(self.plan.log)}")
