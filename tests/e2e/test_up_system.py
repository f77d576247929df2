"""`jobqueue up`, driven from outside: HTTP, signals, exit codes, and the processes of the machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc, by pidfd")

JOBQUEUE = str(Path(sys.executable).with_name("jobqueue"))
READY_SECONDS = 60.0
END_SECONDS = 60.0
FINAL = {"SUCCESS", "FAILED", "CANCELLED"}


def clean_environment() -> dict[str, str]:
    """Nothing of the developer's own settings, and quick retries."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBQUEUE_", "AWS_"))}
    return {
        **kept,
        "JOBQUEUE_RETRY__BACKOFF__INITIAL_SECONDS": "0.1",
        "JOBQUEUE_RETRY__BACKOFF__MAX_SECONDS": "1",
    }


@dataclass(slots=True)
class Up:
    """A running `jobqueue up`."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    url: str = ""

    async def read_until(self, start: str) -> str:
        """Return the next line that starts so; fail when the output ends before."""
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_SECONDS):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line.rstrip())
                if line.startswith(start):
                    return line.rstrip()
        pytest.fail(f"no line {start!r} in\n" + "\n".join(self.lines))

    async def end(self) -> int:
        """Read to the end and return the exit code."""
        assert self.process.stdout is not None
        async with asyncio.timeout(END_SECONDS):
            self.lines += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()

    @property
    def text(self) -> str:
        """Everything it said."""
        return "\n".join(self.lines)


@asynccontextmanager
async def up(data: Path, *arguments: str, **env: str) -> AsyncIterator[Up]:
    process = await asyncio.create_subprocess_exec(
        *(JOBQUEUE, "up", "--port", "0", "--data-dir", str(data), *arguments),
        cwd=data.parent,
        env={**clean_environment(), **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Up(process)
    try:
        running.url = (await running.read_until("ready: ")).removeprefix("ready: ")
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Seen:
    """A process of this machine."""

    pid: int
    parent: int
    session: int
    command: str


def processes() -> Iterator[Seen]:
    """Every process but those that have ended and were not yet fetched by their parent (zombies)."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                state, parent, _, session = (entry / "stat").read_text().rpartition(") ")[2].split()[:4]
                command = (entry / "cmdline").read_text().replace("\0", " ")
                if state != "Z":
                    yield Seen(int(entry.name), int(parent), int(session), command)


def children_of(pid: int) -> dict[int, str]:
    """The processes that a process has started, with their command lines."""
    return {seen.pid: seen.command for seen in processes() if seen.parent == pid}


def in_sessions(sessions: set[int]) -> list[str]:
    return [seen.command for seen in processes() if seen.session in sessions]


@contextlib.contextmanager
def watched(pids: list[int]) -> Iterator[Callable[[], list[int]]]:
    """Yield what waits for the processes to end and tells which have not."""
    handles = {os.pidfd_open(pid): pid for pid in pids}

    def still_there() -> list[int]:
        left = dict(handles)
        while left:
            ended, _, _ = select.select(list(left), [], [], 10.0)
            if not ended:
                break
            for handle in ended:
                del left[handle]
        return list(left.values())

    try:
        yield still_there
    finally:
        for handle in handles:
            os.close(handle)


async def submit(url: str, jobs: list[dict[str, object]]) -> list[str]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answers = [await client.post("/addJob", json=job) for job in jobs]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["jobId"] for answer in answers]


async def final_statuses(url: str, job_ids: list[str]) -> dict[str, str]:
    """Wait until every job is final."""
    statuses: dict[str, str] = {}
    async with asyncio.timeout(END_SECONDS), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while len(statuses) < len(job_ids):
            for job_id in set(job_ids) - set(statuses):
                job = (await client.get(f"/jobs/{job_id}")).json()
                if job["status"] in FINAL:
                    statuses[job_id] = job["status"]
            await asyncio.sleep(0.1)
    return statuses


async def test_after_the_jobs_it_ends_with_an_account_and_nothing_lost(tmp_path: Path) -> None:
    jobs: list[dict[str, object]] = [{"payload": {"n": number, "answer": 200}} for number in range(30)]
    jobs += [{"payload": {"answer": 400}}, {"payload": {"answer": 500}}, {"payload": {"answer": 201}}]
    async with up(tmp_path / "data", "--exit-after-jobs", str(len(jobs))) as running:
        sessions = {running.process.pid, *children_of(running.process.pid)}
        job_ids = await submit(running.url, jobs)

        code = await running.end()

    assert code == 0, running.text
    assert "33 jobs finished: 31 done, 2 failed, 0 cancelled" in running.lines
    assert "35 attempts, 2 retries" in running.lines
    assert "0 lost" in running.lines
    assert "not finished" not in running.text
    assert len(set(job_ids)) == len(jobs)
    assert in_sessions(sessions) == []


async def test_ctrl_c_leaves_no_process_and_the_next_start_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with up(data) as first:
        job_ids = await submit(first.url, [{"payload": {"n": number, "answer": 200}} for number in range(20)])
        started = children_of(first.process.pid)
        with watched(list(started)) as still_there:
            first.process.send_signal(signal.SIGINT)
            code = await first.end()
            assert still_there() == []
    assert code == 0, first.text
    assert re.search("secantusd.*ministack|ministack.*secantusd", " ".join(started.values()))
    assert in_sessions(set(started)) == []

    async with up(data) as second:
        statuses = await final_statuses(second.url, job_ids)
        second.process.send_signal(signal.SIGTERM)
        code = await second.end()

    assert set(statuses) == set(job_ids)
    assert code == 0, second.text


async def test_a_second_ctrl_c_does_not_wait_for_the_job_in_hand(tmp_path: Path) -> None:
    called, never = asyncio.Event(), asyncio.Event()

    async def never_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await never.wait()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with up(tmp_path / "data", JOBQUEUE_PROCESSOR__URL=url) as running:
        await submit(running.url, [{}])
        async with asyncio.timeout(READY_SECONDS):
            await called.wait()
        started = children_of(running.process.pid)
        with watched(list(started)) as still_there:
            running.process.send_signal(signal.SIGINT)
            await running.read_until("ending")
            assert running.process.returncode is None
            running.process.send_signal(signal.SIGINT)
            code = await running.end()
            assert still_there() == []
    never.set()
    server.close()

    assert code == 130, running.text
    assert not any("jobqueue_cli.sample" in command for command in started.values())


async def test_killed_it_leaves_no_process(tmp_path: Path) -> None:
    async with up(tmp_path / "data") as running:
        await submit(running.url, [{"payload": {"answer": 200}}])
        await running.read_until("workers of default: from 0 to 1")
        started = children_of(running.process.pid)
        with watched(list(started)) as still_there:
            running.process.kill()
            assert await running.process.wait() == -signal.SIGKILL
            assert still_there() == []

    assert len(started) >= 4
    assert in_sessions(set(started)) == []


async def test_what_dies_is_started_again_and_a_second_start_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with up(data) as running:
        for part in ("secantusd-rs", "jobqueue-api", "ministack"):
            victim = next(pid for pid, command in children_of(running.process.pid).items() if part in command)
            os.kill(victim, signal.SIGKILL)
            await running.read_until(next(name for name in RESTARTED if name.startswith(NAMES[part])))
        await ready_again(running.url)
        job_ids = await submit(running.url, [{"payload": {"answer": 200}}] * 3)
        statuses = await final_statuses(running.url, job_ids)

        same_folder = await refused("--port", "0", "--data-dir", str(data))
        port = running.url.rpartition(":")[2]
        same_port = await refused("--port", port, "--data-dir", str(tmp_path / "other"))

    assert set(statuses.values()) == {"SUCCESS"}
    in_use = f"in use by a run with process id {running.process.pid}; end it, or name another"
    assert same_folder == (2, f"jobqueue: --data-dir {data}: {in_use}\n")
    assert same_port[0] == 2
    assert same_port[1].startswith(f"jobqueue: --port {port}: cannot listen on 127.0.0.1: ")
    assert same_port[1].count("\n") == 1


NAMES = {"secantusd-rs": "database", "jobqueue-api": "api", "ministack": "queue"}
RESTARTED = [f"{name} ended unasked (exit code -9) and is started again" for name in NAMES.values()]


async def ready_again(url: str) -> None:
    async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


async def refused(*arguments: str, **env: str) -> tuple[int | None, str]:
    """Return the exit code and what was said of a start that does not come about."""
    process = await asyncio.create_subprocess_exec(
        *(JOBQUEUE, "up", *arguments),
        env={**clean_environment(), **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(END_SECONDS):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_every_bad_setting_is_a_line_and_nothing_starts(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, said = await refused(
        *("--port", "0", "--data-dir", str(data)),
        JOBQUEUE_WORKER__CONCURRENCY="0",
        JOBQUEUE_RETRY__MAX_ATTEMPTS="many",
    )

    assert code == 2
    assert len(said.splitlines()) == 2, said
    assert "retry.max_attempts: must be" in said
    assert "worker.concurrency: must be" in said
    assert list(data.glob("logs/*")) == []
