"""One worker as a process of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

_LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How a worker ended.

    Attributes:
        id: The worker's id.
        pid: The process that it was.
        returncode: Exit status; a negative number is the signal that killed it.
        asked: It was told to end.
        killed: It did not end in time and was killed.
    """

    id: str
    pid: int
    returncode: int
    asked: bool
    killed: bool


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """A started worker, in a session of its own so that a terminal's Ctrl-C does not reach it."""

    id: str
    slot: int
    started_at: float
    process: asyncio.subprocess.Process
    killed: bool = False

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        worker_id: str,
        slot: int,
        log: Path | None,
        now: float,
    ) -> WorkerProcess:
        """Start a worker; its output goes to the end of `log`, or where this process's goes.

        On Linux it is killed when this process dies, more exactly the thread that started it
        (prctl(2)): start workers from a thread that stays.

        Raises:
            OSError: The log cannot be opened or the process cannot be started.
        """
        with _open_output(log) as output:
            process = await asyncio.create_subprocess_exec(
                *_bound_to_this_process(command),
                env=dict(env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(id=worker_id, slot=slot, started_at=now, process=process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def ask_to_end(self) -> None:
        """Send SIGTERM to the worker alone: it ends what it has started itself."""
        # Not by the process object: that looks first whether it has ended, and would take the exit
        # status away from the event loop's own watcher.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the worker and to everything in its process group."""
        if self.process.returncode is None:
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end and return the exit status."""
        return await self.process.wait()


def _bound_to_this_process(command: Sequence[str]) -> list[str]:
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *command]


@contextlib.contextmanager
def _open_output(log: Path | None) -> Iterator[BinaryIO | None]:
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        yield output
