"""`jobqueue dlq`: failed jobs of a queue, over the API of any installation."""

from __future__ import annotations

import asyncio
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from jobqueue_cli.errors import BAD_ARGUMENTS, CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobqueue_cli.dead_letters import DeadLetterCommands

API_KEY = "JOBQUEUE_API_KEY"
"""Environment variable: the API key; not an option, for others see the options of a command."""

_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})

app = typer.Typer(
    help=f"Failed jobs: look at them, run them again. An API key is taken from {API_KEY}.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Url = Annotated[str, typer.Option(envvar="JOBQUEUE_URL", help="Address of the API")]
Queue = Annotated[str, typer.Option(help="The queue, as jobs name it")]
_URL = "http://127.0.0.1:8000"
_QUEUE = "default"


class ReportFormat(StrEnum):
    """How a report is written."""

    TEXT = "text"
    JSON = "json"


@app.command("list")
def list_(
    *,
    url: Url = _URL,
    queue: Queue = _QUEUE,
    group: Annotated[str | None, typer.Option(help="Jobs of this group only (see `groups`)")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Jobs at most")] = 20,
) -> None:
    """List failed jobs, the newest first."""

    async def work(commands: DeadLetterCommands) -> int:
        await commands.show(group, count)
        return 0

    _run(url, queue, work)


@app.command()
def groups(*, url: Url = _URL, queue: Queue = _QUEUE) -> None:
    """Group failed jobs by their error, the largest group first."""

    async def work(commands: DeadLetterCommands) -> int:
        await commands.groups()
        return 0

    _run(url, queue, work)


@app.command()
def report(
    *,
    url: Url = _URL,
    queue: Queue = _QUEUE,
    format_: Annotated[ReportFormat, typer.Option("--format", help="For people or for programs")] = (
        ReportFormat.TEXT
    ),
) -> None:
    """Tell everything: counts, groups, what else is in the dead-letter queue, redrives under way."""

    async def work(commands: DeadLetterCommands) -> int:
        await commands.report(as_json=format_ is ReportFormat.JSON)
        return 0

    _run(url, queue, work)


@app.command()
def redrive(
    *,
    url: Url = _URL,
    queue: Queue = _QUEUE,
    everything: Annotated[bool, typer.Option("--all", help="All failed jobs of the queue")] = False,
    group: Annotated[str | None, typer.Option(help="Those of this group (see `groups`)")] = None,
    job_ids: Annotated[
        list[str] | None, typer.Option("--id", help="This job; may be given up to 1000 times")
    ] = None,
    per_second: Annotated[
        float | None, typer.Option(help="Jobs a second at most; left out: as fast as it goes")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it is done; exit code 1 if it is cancelled")
    ] = False,
) -> None:
    """Run failed jobs again: --all, those of a --group, or each --id."""

    async def work(commands: DeadLetterCommands) -> int:
        from jobqueue_cli.dead_letters import Wanted  # noqa: PLC0415 -- `jobqueue --help` need not load it

        if [everything, group is not None, bool(job_ids)].count(True) != 1:
            raise CommandError("give exactly one of --all, --group and --id", BAD_ARGUMENTS)
        return await commands.redrive(Wanted(group, tuple(job_ids or ()), per_second), wait=wait)

    _run(url, queue, work)


@app.command()
def redrives(*, url: Url = _URL, queue: Queue = _QUEUE) -> None:
    """List redrives, the newest first."""

    async def work(commands: DeadLetterCommands) -> int:
        await commands.redrives()
        return 0

    _run(url, queue, work)


@app.command()
def cancel(
    redrive_id: Annotated[str, typer.Argument(help="The redrive's id", metavar="REDRIVE")],
    *,
    url: Url = _URL,
    queue: Queue = _QUEUE,
) -> None:
    """End a redrive: jobs whose turn has not come stay failed."""

    async def work(commands: DeadLetterCommands) -> int:
        await commands.cancel(redrive_id)
        return 0

    _run(url, queue, work)


def _run(url: str, queue: str, work: Callable[[DeadLetterCommands], Awaitable[int]]) -> None:
    """Do the work against the API; what goes wrong is told in a line."""
    from jobqueue_cli.api_client import ApiClient  # noqa: PLC0415 -- as above
    from jobqueue_cli.dead_letters import DeadLetterCommands  # noqa: PLC0415 -- as above
    from jobqueue_cli.tables import printer  # noqa: PLC0415 -- as above

    async def run() -> int:
        is_remote = urlsplit(url).hostname not in _THIS_MACHINE
        client = ApiClient(url, api_key=os.environ.get(API_KEY), is_remote=is_remote)
        try:
            return await work(DeadLetterCommands(client, queue, printer()))
        finally:
            await client.close()

    try:
        code = asyncio.run(run())
    except CommandError as error:
        typer.echo(f"jobqueue: {error}", err=True)
        code = error.exit_code
    raise typer.Exit(code)
