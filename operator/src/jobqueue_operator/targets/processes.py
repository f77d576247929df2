"""Workers as processes of this machine."""

from __future__ import annotations

import asyncio
import secrets
from itertools import count
from typing import TYPE_CHECKING

import structlog

from jobqueue_operator.ports import Replicas
from jobqueue_operator.targets.backoff import CrashBackoff
from jobqueue_operator.targets.worker_process import WorkerExit, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
    from pathlib import Path

    from jobqueue_core.ports.clock import Clock

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class TargetClosedError(RuntimeError):
    """The target was closed and starts no more workers."""


class ProcessTarget:
    """Runs workers as child processes; the scale target of a single machine.

    Scaling down returns at once: workers get SIGTERM, are reaped in the background and counted as
    `terminating` until they are gone. A worker that ends unasked is replaced at the next `scale` or
    `reconcile`, with exponential back-off while replacements crash as well.

    Args:
        command: Program and arguments of a worker.
        env: The whole environment of a worker; its id is added to it.
        id_variable: Environment variable that tells a worker its id.
        clock: Time and waiting.
        name: Beginning of the workers' ids and of their log files' names.
        grace_seconds: Time between SIGTERM and SIGKILL; longer than the worker's own drain time.
        log_dir: Folder for one log file a worker, `<name>-<n>.log`, appended to; the numbers are
            reused. Without it the workers write where this process does.
        on_exit: Called on the event loop after a worker has ended, asked or not.
        backoff: How long to wait between replacements.
    """

    def __init__(  # noqa: PLR0913 -- settings of one adapter, all but the first by keyword
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        id_variable: str,
        clock: Clock,
        name: str = "worker",
        grace_seconds: float = 35.0,
        log_dir: Path | None = None,
        on_exit: Callable[[WorkerExit], None] | None = None,
        backoff: CrashBackoff | None = None,
    ) -> None:
        self._command = tuple(command)
        self._env = dict(env)
        self._id_variable = id_variable
        self._clock = clock
        self._name = name
        self._grace_seconds = grace_seconds
        self._log_dir = log_dir
        self._on_exit = on_exit
        self._backoff = backoff or CrashBackoff()
        self._desired = 0
        self._running: dict[str, WorkerProcess] = {}
        self._ending: dict[str, WorkerProcess] = {}
        self._deadlines: dict[str, asyncio.Task[None]] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._closed = False

    @property
    def worker_ids(self) -> tuple[str, ...]:
        """Ids of the workers that run and are not ending, oldest first."""
        return tuple(self._running)

    async def current(self) -> Replicas:
        """Tell how many workers are asked for, run, and are ending."""
        return Replicas(self._desired, len(self._running), len(self._ending))

    async def scale(self, to: int, busy: Collection[str]) -> None:
        """Start what is missing; end what is too much, idle workers first, then the youngest.

        Raises:
            OSError: A worker could not be started; those before it run.
            TargetClosedError: After `close`.
        """
        async with self._changing:
            if self._closed:
                raise TargetClosedError
            self._desired = to
            for worker_id in surplus(tuple(self._running), busy, to):
                self._end(worker_id)
            while len(self._running) < to and self._backoff.may_start(self._clock.monotonic()):
                await self._start()

    async def reconcile(self) -> None:
        """Replace workers that have died."""
        await self.scale(self._desired, ())

    async def close(self) -> None:
        """End every worker that this target started and wait until they are gone.

        They have `grace_seconds` to finish; when the waiting is cancelled they are killed at once.
        """
        self._closed = True
        async with self._changing:
            self._desired = 0
            for worker_id in tuple(self._running):
                self._end(worker_id)
        try:
            await self._all_gone()
        except asyncio.CancelledError:
            for worker in self._ending.values():
                worker.kill()
            await self._all_gone()
            raise

    async def _all_gone(self) -> None:
        while self._watchers:
            await asyncio.wait(self._watchers)

    async def _start(self) -> None:
        taken = {worker.slot for worker in (*self._running.values(), *self._ending.values())}
        slot = next(number for number in count(1) if number not in taken)
        # A random part: heartbeats of an earlier run may still be in the store.
        worker_id = f"{self._name}-{slot}-{secrets.token_hex(4)}"
        worker = await WorkerProcess.start(
            self._command,
            {**self._env, self._id_variable: worker_id},
            worker_id=worker_id,
            slot=slot,
            log=self._log_dir / f"{self._name}-{slot}.log" if self._log_dir else None,
            now=self._clock.monotonic(),
        )
        self._running[worker_id] = worker
        self._watch(self._reap(worker))
        _log.info("worker_started", worker=worker_id, pid=worker.pid)

    def _end(self, worker_id: str) -> None:
        worker = self._running.pop(worker_id)
        self._ending[worker_id] = worker
        self._deadlines[worker_id] = asyncio.create_task(self._kill_after_grace(worker))
        worker.ask_to_end()

    async def _kill_after_grace(self, worker: WorkerProcess) -> None:
        await self._clock.sleep(self._grace_seconds)
        _log.warning("worker_killed", worker=worker.id, grace_seconds=self._grace_seconds)
        worker.kill()

    async def _reap(self, worker: WorkerProcess) -> None:
        returncode = await worker.wait()
        asked = self._ending.pop(worker.id, None) is not None
        if asked:
            self._deadlines.pop(worker.id).cancel()
            _log.info("worker_ended", worker=worker.id, returncode=returncode)
        else:
            del self._running[worker.id]
            now = self._clock.monotonic()
            self._backoff = self._backoff.after_exit(started_at=worker.started_at, now=now)
            _log.warning(
                "worker_died", worker=worker.id, returncode=returncode, crashes=self._backoff.crashes
            )
        if self._on_exit is not None:
            self._on_exit(WorkerExit(worker.id, worker.pid, returncode, asked=asked, killed=worker.killed))

    def _watch(self, reaping: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(reaping)
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)


def surplus(oldest_first: Sequence[str], busy: Collection[str], keep: int) -> tuple[str, ...]:
    """Choose the workers to end: idle before busy, and of these the youngest first."""
    youngest_first = tuple(reversed(oldest_first))
    by_preference = sorted(youngest_first, key=lambda worker_id: worker_id in busy)
    return tuple(by_preference[: max(0, len(oldest_first) - keep)])
