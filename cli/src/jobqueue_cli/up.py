"""`jobqueue up`: run the system until Ctrl-C, a failure, or a number of finished jobs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Protocol, TypeAlias

from jobqueue_cli.datadir import DataDir
from jobqueue_cli.errors import FAILED, CommandError
from jobqueue_cli.operator_log import log_to
from jobqueue_cli.plan import plan_up
from jobqueue_cli.ports import check_free
from jobqueue_cli.progress import Progress
from jobqueue_cli.system import System
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.ports.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from jobqueue_cli.plan import UpOptions, UpPlan
    from jobqueue_core.ports.clock import Clock

    Work: TypeAlias = "Callable[[Run], Coroutine[None, None, None]]"

KILLED = 130
"""Exit code after a second Ctrl-C, as shells give it (128 + SIGINT)."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Output(Protocol):
    """Where a command tells what happens."""

    def say(self, line: str) -> None:
        """Tell people one thing."""
        ...

    def complain(self, line: str) -> None:
        """Tell people what went wrong."""
        ...


class Run:
    """One run of the system, for what is to happen while it is up.

    Attributes:
        plan: What was started.
        system: The system, started.
        progress: Counts of its jobs.
        clock: Time and waiting.
        output: Where to tell of it.
    """

    def __init__(self, plan: UpPlan, data: DataDir, output: Output) -> None:
        self.plan = plan
        self.output = output
        self.clock: Clock = SystemClock()
        self.system = System(plan, data, clock=self.clock, say=output.say)
        self.progress = Progress(self.system, self.clock)


def run_up(
    options: UpOptions,
    environ: Mapping[str, str],
    output: Output,
    work: Work | None = None,
) -> int:
    """Run the system and return the exit code.

    Args:
        options: The command line.
        environ: The user's environment.
        output: Where to tell what happens.
        work: What to do once it is up; the system stays up after it.

    Raises:
        SettingsError: Settings that cannot be.
        CommandError: Nothing was started, and why.
    """
    plan = plan_up(options, environ)
    with DataDir(options.data_dir) as data:
        check_free(plan.settings.api.host, plan.port)
        log_to(data.log("operator"), plan.settings.logging.level)
        return asyncio.run(_supervise(Run(plan, data, output), options.exit_after_jobs, work))


async def _supervise(run: Run, exit_after_jobs: int | None, work: Work | None) -> int:
    """Run until something ends it; the first signal ends it in order, the second at once."""
    serving = asyncio.create_task(_serve(run, exit_after_jobs, work))
    current: asyncio.Task[int] | asyncio.Task[None] = serving

    def interrupt() -> None:
        current.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt)
    code = FAILED
    try:
        code = await serving
    except asyncio.CancelledError:
        run.output.say("ending (once more to kill at once)")
        code = 0
    except CommandError as error:
        run.output.complain(str(error))
        code = error.exit_code
    except JobQueueError as error:
        run.output.complain(str(error))
    finally:
        current = stopping = asyncio.create_task(run.system.stop())
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
        if stopping.cancelled():
            code = KILLED
    return code


async def _serve(run: Run, exit_after_jobs: int | None, work: Work | None) -> int:
    await run.system.start()
    await run.progress.begin()
    _greet(run)
    ends = [run.system.failure()]
    if exit_after_jobs is not None:
        ends.append(run.progress.wait_finished(exit_after_jobs))
    tasks = [asyncio.create_task(each) for each in ends]
    working = [asyncio.create_task(work(run))] if work is not None else []
    try:
        await _first_end(tasks, working)
    finally:
        for task in (*tasks, *working):
            task.cancel()
        await asyncio.gather(*tasks, *working, return_exceptions=True)
    account = await run.progress.account()
    for line in account.lines():
        run.output.say(line)
    return FAILED if account.lost else 0


async def _first_end(ends: Sequence[asyncio.Task[None]], working: Sequence[asyncio.Task[None]]) -> None:
    """Wait for what ends the run; that the work is done does not, that it fails does."""
    left = {*ends, *working}
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if not done.isdisjoint(ends):
            return


def _greet(run: Run) -> None:
    url, say = run.plan.url, run.output.say
    say(f"ready: {url}")
    say(f"  documentation  {url}/docs")
    say(f"  metrics        {url}/metrics")
    sample = run.plan.embedded.sample_port
    if sample is not None:
        say(f"  sample calls   http://127.0.0.1:{sample}/calls")
