"""Processes that a benchmark starts: none of them outlives it, however it ends."""

from __future__ import annotations

import asyncio
import json
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from bench.figures import BenchError
from bench.machine import cpu_seconds, peak_bytes
from jobqueue_operator.targets.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

Number = TypeVar("Number", int, float)

_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0
_PROBE_SECONDS = 0.02
_LOG_SHOWN = 2000


def script(name: str) -> str:
    """Return where a command of this installation is."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this installation."""
    return [sys.executable, "-m", name, *arguments]


@dataclass(frozen=True, slots=True)
class Running:
    """A process that has been started."""

    name: str
    process: WorkerProcess
    log: Path

    def cpu_seconds(self) -> float:
        """Return its CPU time so far.

        Raises:
            BenchError: it has ended.

        """
        return self._of_process(cpu_seconds)

    def peak_bytes(self) -> int:
        """Return the most memory that it has had resident.

        Raises:
            BenchError: it has ended.

        """
        return self._of_process(peak_bytes)

    def _of_process(self, read: Callable[[int], Number]) -> Number:
        try:
            return read(self.process.pid)
        except OSError as error:
            code = self.process.process.returncode
            raise BenchError(f"{self.name} ended by itself ({code}):\n{self.shown_log()}") from error

    def shown_log(self) -> str:
        """Return the end of its output."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_SHOWN:]


class CpuTrace:
    """Follows the CPU time of a process, so that a part of it can be told afterwards.

    To be used as an asynchronous context manager. Moments are those of `time.monotonic`, which on Linux is
    one clock for all processes.
    """

    def __init__(self, running: Running) -> None:
        """Follow a process."""
        self._running = running
        self._samples: list[tuple[float, float]] = []

    def between(self, start: float, end: float) -> float:
        """Return the CPU time used between two moments, to the sampling's 20 ms."""
        used = [seconds for moment, seconds in self._samples if start <= moment <= end]
        return used[-1] - used[0] if used else 0.0

    async def _follow(self) -> None:
        while True:
            self._samples.append((time.monotonic(), self._running.cpu_seconds()))
            await asyncio.sleep(_PROBE_SECONDS)

    async def __aenter__(self) -> Self:
        """Begin."""
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Processes:
    """Starts processes, and ends what is left of them; to be used as an asynchronous context manager."""

    def __init__(self, logs: Path) -> None:
        """Keep their output in a folder."""
        self._logs = logs
        self._running: list[Running] = []

    async def start(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        is_ready: Callable[[], Awaitable[bool]],
    ) -> Running:
        """Start a process and return when it serves.

        Raises:
            BenchError: it ended, or does not serve within 30 s.

        """
        running = await self._launch(name, command, env)
        deadline = time.monotonic() + _READY_SECONDS
        while not await is_ready():
            if running.process.process.returncode is not None:
                raise BenchError(f"{name} ended at its start:\n{running.shown_log()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{name} does not answer:\n{running.shown_log()}")
            await asyncio.sleep(_PROBE_SECONDS)
        return running

    async def answer(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> dict[str, object]:
        """Run a process to its end and return the JSON object on the last line of its output.

        Raises:
            BenchError: it failed.

        """
        running = await self._launch(name, command, env)
        code = await running.process.wait()
        self._running.remove(running)
        if code != 0:
            raise BenchError(f"{name} ended with exit code {code}:\n{running.shown_log()}")
        return cast("dict[str, object]", json.loads(running.log.read_text(encoding="utf-8").splitlines()[-1]))

    def kill(self, name: str) -> None:
        """End a process by SIGKILL."""
        for running in self._running:
            if running.name == name:
                running.process.kill()

    async def stop(self, running: Running) -> None:
        """Ask a process to end, and wait for it.

        Raises:
            BenchError: it did not end in time, or not in order.

        """
        running.process.ask_to_end()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                code = await running.process.wait()
        except TimeoutError as error:
            raise BenchError(f"{running.name} does not end:\n{running.shown_log()}") from error
        self._running.remove(running)
        if code != 0:
            raise BenchError(f"{running.name} ended with exit code {code}:\n{running.shown_log()}")

    async def _launch(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> Running:
        log = self._logs / f"{name.replace(' ', '-')}-{time.monotonic_ns()}.log"
        process = await WorkerProcess.start(
            command, env, worker_id=name, slot=0, log=log, now=time.monotonic()
        )
        running = Running(name, process, log)
        self._running.append(running)
        return running

    async def __aenter__(self) -> Self:
        """Start nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what is left: its data is thrown away."""
        for running in self._running:
            running.process.kill()
        await asyncio.gather(*(running.process.wait() for running in self._running))
        self._running.clear()
