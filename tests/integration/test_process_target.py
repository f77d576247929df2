"""The process target with real child processes, whose doings arrive as lines through a named pipe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.ports.clock import SystemClock
from jobqueue_core.testing.clock import ManualClock, settle
from jobqueue_operator.ports import Replicas
from jobqueue_operator.targets.backoff import CrashBackoff
from jobqueue_operator.targets.processes import ProcessTarget, TargetClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from jobqueue_core.ports.clock import Clock
    from jobqueue_operator.targets.worker_process import WorkerExit

    MakeTarget = Callable[..., ProcessTarget]

ID_VARIABLE = "JOBQUEUE_WORKER__ID"
WAIT_SECONDS = 20

WORKER = """
import os, signal, sys
def tell(what):
    with open(os.environ["PIPE"], "w") as pipe:
        pipe.write(f"{what} {os.environ['JOBQUEUE_WORKER__ID']} {os.getpid()}\\n")
def end(*_):
    tell("ending")
    sys.exit(0)
def ignore(*_):
    tell("ignoring")
mode = sys.argv[1]
signal.signal(signal.SIGTERM, ignore if mode == "stubborn" else end)
print("hello from", os.environ["JOBQUEUE_WORKER__ID"], flush=True)
tell("ready")
if mode == "crashing":
    os._exit(3)
while True:
    signal.pause()
"""


class Reports:
    """What the workers tell, and what the target tells of their ends."""

    def __init__(self, pipe: Path) -> None:
        self.pipe = pipe
        self.exits: asyncio.Queue[WorkerExit] = asyncio.Queue()
        self._lines: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue()
        self._partial = b""
        os.mkfifo(pipe)
        # Open for both ends: a writer never waits for a reader and the reader never sees an end.
        self._descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        *lines, self._partial = (self._partial + os.read(self._descriptor, 65536)).split(b"\n")
        for line in lines:
            what, worker_id, pid = line.decode().split()
            self._lines.put_nowait((what, worker_id, int(pid)))

    async def next(self, what: str, number: int = 1) -> dict[str, int]:
        """Wait for that many workers to tell it; their process ids by their ids."""
        told: dict[str, int] = {}
        async with asyncio.timeout(WAIT_SECONDS):
            while len(told) < number:
                said, worker_id, pid = await self._lines.get()
                assert said == what
                told[worker_id] = pid
        return told

    async def next_exit(self) -> WorkerExit:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.exits.get()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    reports = Reports(tmp_path / "pipe")
    yield reports
    reports.close()


@pytest.fixture
async def make_target(reports: Reports, tmp_path: Path) -> AsyncIterator[MakeTarget]:
    targets: list[ProcessTarget] = []

    def make(
        mode: str = "obedient", clock: Clock | None = None, backoff: CrashBackoff | None = None
    ) -> ProcessTarget:
        target = ProcessTarget(
            [sys.executable, "-I", "-S", "-c", WORKER, mode],
            env={"PIPE": str(reports.pipe)},
            id_variable=ID_VARIABLE,
            clock=clock or SystemClock(),
            grace_seconds=60,
            log_dir=tmp_path / "logs",
            on_exit=reports.exits.put_nowait,
            backoff=backoff,
        )
        targets.append(target)
        return target

    yield make
    for target in targets:
        closing = asyncio.create_task(target.close())
        await settle()
        closing.cancel()  # stubborn workers would take their grace
        with contextlib.suppress(asyncio.CancelledError):
            await closing


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def stranger() -> Iterator[int]:
    """A process that is nothing to the target though this process started it."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]) as process:
        yield process.pid
        assert process.poll() is None
        process.kill()


async def test_workers_get_ids_of_their_own_and_tell_them(make_target: MakeTarget, reports: Reports) -> None:
    target = make_target()

    await target.scale(3, ())
    ready = await reports.next("ready", 3)

    assert set(ready) == set(target.worker_ids)
    assert await target.current() == Replicas(desired=3, ready=3, terminating=0)


async def test_the_output_of_a_worker_is_in_its_log(
    make_target: MakeTarget, reports: Reports, tmp_path: Path
) -> None:
    target = make_target()

    await target.scale(1, ())
    (worker_id,) = await reports.next("ready")

    assert (tmp_path / "logs" / "worker-1.log").read_text() == f"hello from {worker_id}\n"


async def test_scaling_down_spares_the_busy_and_does_not_wait(
    make_target: MakeTarget, reports: Reports
) -> None:
    target = make_target("stubborn")
    await target.scale(3, ())
    await reports.next("ready", 3)
    oldest, middle, youngest = target.worker_ids

    await target.scale(1, {youngest})

    assert target.worker_ids == (youngest,)
    assert await target.current() == Replicas(desired=1, ready=1, terminating=2)
    assert set(await reports.next("ignoring", 2)) == {oldest, middle}


async def test_a_worker_that_ends_when_asked_is_reaped(make_target: MakeTarget, reports: Reports) -> None:
    target = make_target()
    await target.scale(1, ())
    ready = await reports.next("ready")

    await target.scale(0, ())
    ended = await reports.next_exit()

    assert {ended.id: ended.pid} == ready
    assert (ended.returncode, ended.asked, ended.killed) == (0, True, False)
    assert not alive(ended.pid)
    assert await target.current() == Replicas(desired=0, ready=0, terminating=0)


async def test_a_worker_that_ignores_the_request_is_killed_only_after_its_grace(
    make_target: MakeTarget, reports: Reports
) -> None:
    clock = ManualClock()
    target = make_target("stubborn", clock)
    await target.scale(1, ())
    ready = await reports.next("ready")
    await target.scale(0, ())
    assert await reports.next("ignoring") == ready

    await clock.advance(59.9)
    assert all(map(alive, ready.values()))
    await clock.advance(0.1)
    ended = await reports.next_exit()

    assert (ended.returncode, ended.asked, ended.killed) == (-signal.SIGKILL, True, True)


async def test_a_worker_that_was_killed_from_outside_is_replaced(
    make_target: MakeTarget, reports: Reports
) -> None:
    clock = ManualClock()
    target = make_target(clock=clock, backoff=CrashBackoff(initial_seconds=1))
    await target.scale(2, ())
    before = await reports.next("ready", 2)
    victim = target.worker_ids[0]
    clock.move(100)

    os.kill(before[victim], signal.SIGKILL)
    ended = await reports.next_exit()
    assert (ended.id, ended.returncode, ended.asked) == (victim, -signal.SIGKILL, False)
    assert await target.current() == Replicas(desired=2, ready=1, terminating=0)
    clock.move(1)
    await target.reconcile()
    (replacement,) = await reports.next("ready")

    assert replacement not in before
    assert len(target.worker_ids) == 2


async def test_a_command_that_crashes_is_started_less_and_less_often(
    make_target: MakeTarget, reports: Reports
) -> None:
    clock = ManualClock()
    target = make_target("crashing", clock, CrashBackoff(initial_seconds=1, max_seconds=60))
    await target.scale(1, ())
    await reports.next("ready")
    assert (await reports.next_exit()).returncode == 3

    for delay in (1, 2, 4):
        clock.move(delay - 0.1)
        await target.scale(1, ())
        assert await target.current() == Replicas(desired=1, ready=0, terminating=0)
        clock.move(0.1)
        await target.scale(1, ())
        await reports.next("ready")
        assert (await reports.next_exit()).returncode == 3


async def test_a_program_that_does_not_exist_is_an_exit_and_says_so_in_the_log(
    reports: Reports, tmp_path: Path
) -> None:
    target = ProcessTarget(
        ["/nowhere/worker"],
        env={},
        id_variable=ID_VARIABLE,
        clock=ManualClock(),
        log_dir=tmp_path,
        on_exit=reports.exits.put_nowait,
    )
    if sys.platform != "linux":
        with pytest.raises(FileNotFoundError):
            await target.scale(1, ())
        return

    await target.scale(1, ())

    assert (await reports.next_exit()).returncode == 1
    assert (tmp_path / "worker-1.log").read_text() == "/nowhere/worker: No such file or directory\n"


async def test_closing_ends_all_that_it_started_and_nothing_else(
    make_target: MakeTarget, reports: Reports
) -> None:
    target, other = make_target(), make_target()
    await target.scale(3, ())
    mine = await reports.next("ready", 3)
    await other.scale(1, ())
    others = await reports.next("ready", 1)

    with stranger() as pid:
        await target.close()

        assert not any(map(alive, mine.values()))
        assert alive(pid)
        assert all(map(alive, others.values()))
    assert await target.current() == Replicas(desired=0, ready=0, terminating=0)


async def test_closing_waits_for_workers_that_were_ending_already(
    make_target: MakeTarget, reports: Reports
) -> None:
    target = make_target()
    await target.scale(1, ())
    ready = await reports.next("ready")

    await target.scale(0, ())
    await target.close()

    assert not any(map(alive, ready.values()))


async def test_closing_that_is_cancelled_kills_at_once(make_target: MakeTarget, reports: Reports) -> None:
    target = make_target("stubborn", ManualClock())
    await target.scale(2, ())
    ready = await reports.next("ready", 2)

    closing = asyncio.create_task(target.close())
    await reports.next("ignoring", 2)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    assert not any(map(alive, ready.values()))


async def test_a_closed_target_starts_nobody(make_target: MakeTarget) -> None:
    target = make_target()
    await target.close()

    with pytest.raises(TargetClosedError):
        await target.scale(1, ())
    await target.close()


async def test_a_worker_is_out_of_reach_of_the_terminal(make_target: MakeTarget, reports: Reports) -> None:
    target = make_target()

    await target.scale(1, ())
    (pid,) = (await reports.next("ready")).values()

    assert os.getsid(pid) == pid
    assert os.getpgid(pid) == pid


PARENT = """
import asyncio, os, signal, sys
from jobqueue_core.ports.clock import SystemClock
from jobqueue_operator.targets.processes import ProcessTarget
async def main():
    target = ProcessTarget(
        [sys.executable, "-I", "-S", "-c", sys.argv[1], "stubborn"],
        env={"PIPE": os.environ["PIPE"]},
        id_variable="JOBQUEUE_WORKER__ID",
        clock=SystemClock(),
    )
    await target.scale(2, ())
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def ended(pidfd: int) -> None:
    """Wait for the end of a process that is no child of this one (pidfd_open(2))."""
    end = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, end.set)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await end.wait()
    finally:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
async def test_workers_do_not_outlive_a_parent_that_is_killed(reports: Reports) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, WORKER, env={**os.environ, "PIPE": str(reports.pipe)}
    )
    workers = await reports.next("ready", 2)
    pidfds = [os.pidfd_open(pid) for pid in workers.values()]

    parent.kill()
    await parent.wait()

    for pidfd in pidfds:
        await ended(pidfd)
