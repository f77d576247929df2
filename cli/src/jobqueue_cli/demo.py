"""`jobqueue demo`: sample jobs, shown from submission to their end."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobqueue_cli.display import Display, LiveDisplay, PlainDisplay
from jobqueue_cli.errors import BAD_ARGUMENTS, CommandError
from jobqueue_cli.snapshot import snapshot
from jobqueue_cli.up import run_up
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.job import Phase
from jobqueue_core.ports.store import JobFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_cli.plan import UpOptions
    from jobqueue_cli.up import Run
    from jobqueue_core.domain.job import Job

STARTED = "JOBQUEUE_DEMO_STARTED"
"""Environment variable: when everything began, setup included, in seconds since 1970."""

# Short, so that jobs that fail for good are through in seconds.
_DEFAULTS = {"JOBQUEUE_RETRY__BACKOFF__INITIAL_SECONDS": "0.5", "JOBQUEUE_RETRY__BACKOFF__MAX_SECONDS": "2"}
_REFRESH_SECONDS = 0.25
_BATCH = 500
_PAGE = 500


def run_demo(options: UpOptions, environ: Mapping[str, str], jobs: int) -> int:
    """Run the demo and return the exit code.

    Raises:
        SettingsError: Settings that cannot be.
        CommandError: Nothing was started, and why.
    """
    started = datetime.now(UTC)
    setup = _setup_started(environ.get(STARTED), started)
    display: Display = LiveDisplay() if sys.stdout.isatty() else PlainDisplay()

    async def work(run: Run) -> None:
        await Demo(run, display, jobs, started=started, setup=setup).play()

    environ = {name: value for name, value in environ.items() if name != STARTED}
    try:
        return run_up(replace(options, defaults=_DEFAULTS), environ, display, work)
    finally:
        display.settle()


class Demo:
    """Submits sample jobs and shows them.

    Args:
        run: The system, up.
        display: Where to show it.
        jobs: How many.
        started: When the demo was started.
        setup: When the setup before it was started; None where there was none.
    """

    def __init__(
        self, run: Run, display: Display, jobs: int, *, started: datetime, setup: datetime | None
    ) -> None:
        self._run = run
        self._display = display
        self._jobs = jobs
        self._started = started
        self._setup = setup
        self._store = run.system.connections.store
        self._queue = run.plan.settings.default_queue

    async def play(self) -> None:
        """Submit, show until all are finished, and sum up.

        Raises:
            CommandError: A submission was refused.
        """
        submitting = asyncio.create_task(self._submit())
        try:
            await self._watch(submitting)
        finally:
            submitting.cancel()
        self._display.settle()
        await self._sum_up()

    async def _submit(self) -> None:
        client = self._run.system.client
        # One by one as the simplest client does, the rest in batches.
        await client.submit_one({})
        rest = sample_jobs(self._jobs)[1:]
        for start in range(0, len(rest), _BATCH):
            await client.submit(rest[start : start + _BATCH])

    async def _watch(self, submitting: asyncio.Task[None]) -> None:
        progress, first_finished = self._run.progress, False
        while progress.finished < self._jobs:
            if submitting.done():
                submitting.result()
            try:
                wait = await progress.read()
                await self._show()
                if progress.finished and not first_finished:
                    first_finished = await self._tell_first_finished()
            except JobQueueError:
                wait = 0.0  # the database is being started again
            await self._run.clock.sleep(max(wait, _REFRESH_SECONDS))

    async def _show(self) -> None:
        scalers = self._run.system.scalers
        for scaler in scalers:
            await scaler.read_heartbeats()
        self._display.show(
            snapshot(
                self._run.progress.before,
                self._run.progress.counts,
                [scaler.tally for scaler in scalers],
                [await scaler.target.current() for scaler in scalers],
                scalers[0].concurrency,
            )
        )

    async def _tell_first_finished(self) -> bool:
        """Tell the time to the first finished job of this run, from the job itself."""
        which = JobFilter(queue=self._queue, phase=Phase.SUCCEEDED, created_from=self._started)
        ends = [job.finished_at for job in await self._store.page(which, limit=_PAGE) if job.finished_at]
        if not ends:
            return False
        first = min(ends)
        told = f"start to first finished job: {(first - self._started).total_seconds():.1f} s"
        if self._setup is not None:
            told = (
                f"fresh clone to first finished job: {(first - self._setup).total_seconds():.1f} s ({told})"
            )
        self._display.say(told)
        return True

    async def _sum_up(self) -> None:
        counts, before, say = self._run.progress.counts, self._run.progress.before, self._display.say
        retries = sum(scaler.tally.retries for scaler in self._run.system.scalers)
        done, failed = counts.succeeded - before.succeeded, counts.failed - before.failed
        say(f"sample jobs: {done} done, {failed} failed, {retries} retries")
        which = JobFilter(queue=self._queue, phase=Phase.FAILED, created_from=self._started)
        examples = await self._store.page(which, limit=1)
        for line in (*map(_told, examples), *_tries(self._run.plan.url, examples)):
            say(line)
        say("up until Ctrl-C")


def sample_jobs(count: int) -> list[dict[str, object]]:
    """Return jobs to submit; the last of several always fails, so that there is one to look at."""
    jobs: list[dict[str, object]] = [
        {
            "payload": {"order": number, "to": f"customer-{number % 20}@shop.example"},
            "labels": {"source": "demo"},
        }
        for number in range(1, count + 1)
    ]
    if count > 1:
        jobs[-1] = {"payload": {"order": count, "answer": 500}, "labels": {"source": "demo"}}
    return jobs


def _told(job: Job) -> str:
    reason = job.last_error.message if job.last_error else "unknown"
    return f"a failed one: {job.id}, {job.attempts} attempts, last: {reason}"


def _tries(url: str, failed: list[Job]) -> list[str]:
    lines = [
        "try:",
        f"  curl -X POST {url}/addJob",
        f"  curl '{url}/status?count=3&status_type=SUCCESS'",
    ]
    if failed:
        lines.append(f"  curl {url}/jobs/{failed[0].id}")
    return [*lines, f"API {url}   documentation {url}/docs   metrics {url}/metrics"]


def _setup_started(text: str | None, now: datetime) -> datetime | None:
    if not text:
        return None
    try:
        setup = datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        raise CommandError(f"{STARTED} must be seconds since 1970, is {text!r}", BAD_ARGUMENTS) from None
    return min(setup, now)
