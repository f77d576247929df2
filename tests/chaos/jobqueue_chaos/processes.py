"""Starts the product's processes again and again, as their supervisors do, and kills them by plan."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobqueue_chaos.facts import Death
from jobqueue_chaos.plan import Arm, Role
from jobqueue_core.failpoints import OFFSET_VARIABLE, PLACES_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

_STOP_SECONDS = 25.0
# Between the death of a process and its next start; a crash loop must not take the machine.
_RESTART_SECONDS = 0.1
_CRASH_SECONDS = 1.0
# What a process logs when it has begun its work.
_READY = {Role.API: b'"event": "ready"', Role.WORKER: b'"event": "worker started"'}
_POLL_SECONDS = 0.1
_SHOWN = 3000


@dataclass(frozen=True, slots=True)
class Start:
    """How the next process of a slot is started."""

    arm: Arm | None = None
    clock_offset: float = 0.0


class Slot:
    """One place in which there is always a process: a pod of a Deployment.

    Attributes:
        name: `api-0`, `worker-1`, …
        start: how the next process is started; whoever is to change it sets it.
        mutant: which protection its processes go without; None: they are as they are.
        generation: number of the newest process.
        running: the id of the process that runs now, as its log lines and leases name it.

    """

    def __init__(
        self, name: str, role: Role, env: Mapping[str, str], logs: Path, deaths: list[Death]
    ) -> None:
        """Take the environment of its processes; deaths are put down in the list."""
        self.name = name
        self.role = role
        self.start = Start()
        self.mutant: str | None = None
        self.generation = 0
        self.started_at = 0.0
        self.deaths = deaths
        self._env = env
        self._log = logs / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._how: str | None = None
        self._wanted = False
        self._loop: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._log_from = 0
        self._is_ready = False

    @property
    def running(self) -> str:
        """The id of the newest process."""
        return f"{self.name}.{self.generation}"

    def begin(self) -> None:
        """Keep a process running from now on, if that is not so already."""
        if self._wanted:
            return
        self._wanted = True
        self._loop = asyncio.create_task(self._keep(), name=self.name)

    async def _keep(self) -> None:
        while self._wanted:
            start = self.start
            self.generation += 1
            self._how = None
            process = self._process = await self._launch(start)
            self.started_at = time.monotonic()
            self._up.set()
            code = await process.wait()
            self._bury(start, code)
            self._up.clear()
            await asyncio.sleep(
                _RESTART_SECONDS if self.deaths[-1].how != "ended by itself" else _CRASH_SECONDS
            )

    async def _launch(self, start: Start) -> asyncio.subprocess.Process:
        module = f"jobqueue_{self.role}.main"
        command = ["-m", module]
        if self.mutant is not None:
            command = ["-m", "jobqueue_chaos.mutant", self.mutant, module]
        env = {
            **self._env,
            "JOBQUEUE_WORKER__ID": self.running,
            OFFSET_VARIABLE: str(start.clock_offset),
        }
        if start.arm is not None:
            env[PLACES_VARIABLE] = f"{start.arm.place}={start.arm.action}@{start.arm.at}"
        with self._log.open("ab") as log:
            log.write(f"--- {self.running} {start}\n".encode())
            log.flush()
            self._log_from, self._is_ready = log.tell(), False
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )

    def _bury(self, start: Start, code: int) -> None:
        how, place = self._how, None
        if how in (None, "stopped") and code == -signal.SIGKILL and start.arm is not None:
            how, place = f"killed at {start.arm.place}", start.arm.place
        elif how is None and code == 0:
            how = "stopped"
        if how == "stopped" and code == -signal.SIGTERM and not self.is_ready:
            # Before it could know what a signal is: nothing was begun.
            how, code = "stopped at its start", 0
        self.deaths.append(
            Death(self.running, time.monotonic(), datetime.now(UTC), how or "ended by itself", place, code)
        )

    def kill(self) -> None:
        """`kill -9`."""
        self._signal(signal.SIGKILL, "killed")

    def ask_to_end(self) -> None:
        """Send SIGTERM and do not wait; a failpoint may be faster than the end."""
        self._signal(signal.SIGTERM, None)

    async def stop_once(self) -> float:
        """Ask the process to end, wait until it has; it is started again. Return the seconds it took.

        One that does not end is killed, and put down as such.
        """
        process = self._process
        began = time.monotonic()
        if process is None or process.returncode is not None:
            return 0.0
        self._signal(signal.SIGTERM, "stopped")
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL, "did not end")
            await process.wait()
        return time.monotonic() - began

    def freeze(self) -> None:
        """Stop the process where it stands (SIGSTOP)."""
        self._signal(signal.SIGSTOP, None)
        self.deaths.append(Death(self.running, time.monotonic(), datetime.now(UTC), "frozen"))

    def thaw(self) -> None:
        """Continue it."""
        self._signal(signal.SIGCONT, None)

    def _signal(self, number: signal.Signals, how: str | None) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if how is not None:
            self._how = how
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)

    @property
    def is_standing(self) -> bool:
        """Whether the process has been stopped and not continued."""
        process = self._process
        if process is None:
            return False
        try:
            # The state comes after the name, which is in parentheses (proc(5)).
            return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    async def up(self) -> None:
        """Return when there is a process."""
        await self._up.wait()

    async def gone(self, generation: int) -> None:
        """Return when the process of that number has ended."""
        while self.generation == generation and self._up.is_set():  # noqa: ASYNC110 - set and cleared
            await asyncio.sleep(_POLL_SECONDS)

    @property
    def is_ready(self) -> bool:
        """Whether the process that runs has said that it works."""
        if not self._is_ready and self._up.is_set():
            with self._log.open("rb") as log:
                log.seek(self._log_from)
                self._is_ready = _READY[self.role] in log.read()
        return self._is_ready

    async def ready(self, seconds: float) -> None:
        """Return when the process works.

        Raises:
            TimeoutError: it does not within that time; the text is the end of its log.

        """
        try:
            async with asyncio.timeout(seconds):
                while not self.is_ready:  # noqa: ASYNC110 - another process says so, in its log
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            said = self._log.read_text(errors="replace")[-_SHOWN:]
            raise TimeoutError(f"{self.running} does not start:\n{said}") from None

    async def end(self, *, gently: bool = False) -> None:
        """Keep no process any more."""
        self._wanted = False
        if gently:
            await self.stop_once()
        self.thaw()
        self.kill()
        if self._loop is not None:
            await asyncio.gather(self._loop, return_exceptions=True)
