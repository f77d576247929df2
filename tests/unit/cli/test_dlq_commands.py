"""`jobqueue dlq` against the API on fakes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import httpx
import pytest
from typer.testing import CliRunner

from jobqueue_api.bootstrap import running
from jobqueue_cli.api_client import ApiClient
from jobqueue_cli.dead_letters import DeadLetterCommands, Wanted
from jobqueue_cli.errors import CommandError
from jobqueue_cli.main import app
from jobqueue_cli.tables import PlainPrinter, Table
from jobqueue_core.domain.fingerprints import fingerprint_of
from jobqueue_core.domain.job import Job, JobError, Phase
from jobqueue_core.domain.message import Message, dead_letter
from jobqueue_core.testing.clock import settle
from jobqueue_testsupport.api_rig import ApiRig
from jobqueue_testsupport.factories import JobFactory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BUSY, BROKEN = (fingerprint_of(message, code) for message, code in (("busy", 503), ("broken", 422)))


class Printed(PlainPrinter):
    """Keeps what was printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class DlqRig:
    """The API with failed jobs, and the command line in front of it."""

    def __init__(self) -> None:
        self.api = ApiRig(relay={"enabled": True})
        self.printed = Printed()
        factory = JobFactory("default")
        errors = [JobError("busy", 503, BUSY)] * 3 + [JobError("broken", 422, BROKEN)]
        self.jobs: list[Job] = [
            factory(Phase.FAILED, last_error=error, attempts=3, due_at=None) for error in errors
        ]
        for job in self.jobs:
            self.api.store.jobs[job.id] = job
            self.api.queue.letters.put(dead_letter(job, fifo=False))

    def commands(self, client: ApiClient, queue: str = "default") -> DeadLetterCommands:
        return DeadLetterCommands(client, queue, self.printed, self.api.clock.advance)


@pytest.fixture
async def rig() -> DlqRig:
    return DlqRig()


@pytest.fixture
async def client(rig: DlqRig) -> AsyncIterator[ApiClient]:
    async with running(rig.api.parts, rig.api.requests) as application:
        opened = ApiClient("http://api", transport=httpx.ASGITransport(application))
        yield opened
        await opened.close()


async def test_failed_jobs_are_listed(rig: DlqRig, client: ApiClient) -> None:
    await rig.commands(client).show(None, 20)
    titles, newest, *others, summary = rig.printed.lines
    assert titles.split() == ["JOB", "FAILED", "AT", "ATTEMPTS", "CODE", "GROUP", "ERROR"]
    assert newest.split() == [
        rig.jobs[3].id,
        "2026-01-01T12:00:00.000Z",
        "3/3",
        "422",
        BROKEN,
        "broken",
    ]
    assert len(others) == 3
    assert summary == "4 of 4 failed jobs; messages in the dead-letter queue: 4"


@pytest.mark.parametrize(("group", "count", "shown"), [(BUSY, 20, 3), (None, 2, 2), ("0" * 12, 20, 0)])
async def test_a_list_may_be_a_part(
    rig: DlqRig, client: ApiClient, group: str | None, count: int, shown: int
) -> None:
    await rig.commands(client).show(group, count)
    assert len(rig.printed.lines) == shown + 2


async def test_a_list_takes_as_many_pages_as_it_takes(rig: DlqRig, client: ApiClient) -> None:
    for job in JobFactory("default", seed=2).many(250, Phase.FAILED):
        rig.api.store.jobs[job.id] = job
    await rig.commands(client).show(None, 220)
    assert len({line.split()[0] for line in rig.printed.lines[1:-1]}) == 220


async def test_groups_are_shown(rig: DlqRig, client: ApiClient) -> None:
    await rig.commands(client).groups()
    _, busy, broken, summary = rig.printed.lines
    assert (busy.split()[:3], broken.split()[:3]) == (["3", BUSY, "503"], ["1", BROKEN, "422"])
    assert summary == "4 of 4 failed jobs are in these groups"


async def test_a_report_tells_everything(rig: DlqRig, client: ApiClient) -> None:
    rig.api.queue.letters.put(Message("no json", {"reason": "unreadable", "error": "the body is not JSON"}))
    await rig.commands(client).report(as_json=False)
    assert rig.printed.lines[0] == (
        "dead letters of default: 4 failed jobs, 5 messages in the dead-letter queue"
    )
    for expected in (
        "3 × busy",
        f"  group      {BUSY}",
        "  newest     code 503, 3 attempts",
        f"  for one    {rig.jobs[2].id}, {rig.jobs[0].id}",
        "messages of no failed job, among 5 that were looked at:",
        "receives  body 'no json': the body is not JSON",
    ):
        assert expected in rig.printed.text


async def test_a_report_for_programs_is_json(rig: DlqRig, client: ApiClient) -> None:
    await rig.commands(client).redrive(Wanted(group="0" * 12), wait=False)
    rig.printed.lines.clear()
    await rig.commands(client).report(as_json=True)
    report = json.loads(rig.printed.text)
    assert (report["queue"], report["failed"], report["letters"], report["grouped"]) == ("default", 4, 4, 4)
    assert [group["count"] for group in report["groups"]] == [3, 1]
    assert report["foreign"] == {"letters": [], "lookedAt": 4, "complete": True}
    assert [task["group"] for task in report["redrives"]] == ["0" * 12]


async def test_a_report_without_sqs_tells_what_is_known(rig: DlqRig, client: ApiClient) -> None:
    rig.api.queue.faults.away = True
    await rig.commands(client).report(as_json=False)
    assert "4 failed jobs, an unknown number of messages" in rig.printed.lines[0]
    assert rig.printed.lines[-1] == "the dead-letter queue itself could not be looked at"


async def test_a_redrive_is_seen_through(rig: DlqRig, client: ApiClient) -> None:
    rig.api.clock.move(60)
    assert await rig.commands(client).redrive(Wanted(), wait=True) == 0
    assert rig.printed.lines[0].endswith("of all failed jobs: running, 0 run again, 0 skipped")
    assert rig.printed.lines[-1].endswith("of all failed jobs: done, 4 run again, 0 skipped")
    assert {rig.api.store.jobs[job.id].phase for job in rig.jobs} == {Phase.QUEUED}


async def test_a_redrive_that_is_cancelled_is_told_by_the_exit_code(rig: DlqRig, client: ApiClient) -> None:
    rig.api.clock.move(60)
    commands = rig.commands(client)
    waiting = asyncio.create_task(commands.redrive(Wanted(per_second=0.01), wait=True))
    await settle()
    (task,) = rig.api.redrives.tasks
    await commands.cancel(task)
    assert await waiting == 1
    assert "cancelled" in rig.printed.lines[-1]


async def test_named_jobs_are_asked_for(rig: DlqRig, client: ApiClient) -> None:
    names = (rig.jobs[0].id, rig.jobs[2].id)
    await rig.commands(client).redrive(Wanted(job_ids=names, per_second=5.0), wait=False)
    (task,) = rig.api.redrives.tasks.values()
    assert (task.selection.job_ids, task.per_second) == (names, 5.0)
    rig.printed.lines.clear()
    await rig.commands(client).redrives()
    assert rig.printed.lines[1].split() == [
        task.id,
        "running",
        "0",
        "0",
        "5",
        "2026-01-01T12:00:00.000Z",
        "2",
        "jobs",
    ]


async def test_a_refusal_is_told_in_the_words_of_the_api(rig: DlqRig, client: ApiClient) -> None:
    with pytest.raises(CommandError, match="There is no queue nosuch; there are: default"):
        await rig.commands(client, "nosuch").groups()
    with pytest.raises(CommandError, match="group must be the fingerprint of a group"):
        await rig.commands(client).redrive(Wanted(group="all"), wait=False)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--all", "--group", "0" * 12], ["--all", "--id", "x"], ["--group", "0" * 12, "--id", "x"]],
)
def test_what_is_to_run_again_is_said_in_one_way(arguments: list[str]) -> None:
    answer = CliRunner().invoke(app, ["dlq", "redrive", "--url", "http://127.0.0.1:1", *arguments])
    assert answer.exit_code == 2
    assert "exactly one of --all, --group and --id" in answer.output


def test_an_api_that_is_not_there_is_told_in_a_line() -> None:
    answer = CliRunner().invoke(app, ["dlq", "groups", "--url", "http://127.0.0.1:1"])
    assert answer.exit_code == 1
    assert answer.output.startswith("jobqueue: GET /queues/default/dead-letters/groups: ConnectError")
    assert answer.output.count("\n") == 1


def test_columns_are_aligned() -> None:
    table = Table(("A", "LONGER", "LAST"), [("1", "2", "3"), ("long", "x", "as long as it is")])
    assert table.lines() == ["A     LONGER  LAST", "1     2       3", "long  x       as long as it is"]
