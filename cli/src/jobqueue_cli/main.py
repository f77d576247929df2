"""The command `jobqueue`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobqueue_cli import dlq
from jobqueue_cli.errors import BAD_ARGUMENTS, CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    help="An HTTP job queue: the whole of it on one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(dlq.app, name="dlq")

Host = Annotated[
    str | None, typer.Option(help="Address of the API [setting: api.host]", show_default="127.0.0.1")
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Port of the API; 0 takes a free one [setting: api.port]", show_default="8000"
    ),
]
Data = Annotated[Path, typer.Option(help="Folder in which jobs are kept", file_okay=False)]
MaxWorkers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Most worker processes a queue [setting: scaling.max_replicas]", show_default="4"
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1, help="Jobs that a worker runs at a time [setting: worker.concurrency]", show_default="10"
    ),
]
ExitAfter = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="End once N jobs have reached a final state: exit code 0, or 1 if a job was lost",
    ),
]
_DATA_DIR = Path(".jobqueue")


@app.command()
def up(
    *,
    host: Host = None,
    port: Port = None,
    data_dir: Data = _DATA_DIR,
    max_workers: MaxWorkers = None,
    concurrency: Concurrency = None,
    exit_after_jobs: ExitAfter = None,
) -> None:
    """Start the whole system on this machine and keep it up until Ctrl-C.

    Database, queue and a sample of an external service are started unless JOBQUEUE_MONGODB__URI,
    AWS_ENDPOINT_URL_SQS and JOBQUEUE_PROCESSOR__URL name others.
    """
    from jobqueue_cli.console import Console  # noqa: PLC0415 -- `jobqueue --help` need not load it all
    from jobqueue_cli.plan import UpOptions  # noqa: PLC0415
    from jobqueue_cli.up import run_up  # noqa: PLC0415

    options = UpOptions(
        host=host,
        port=port,
        data_dir=data_dir,
        max_workers=max_workers,
        concurrency=concurrency,
        exit_after_jobs=exit_after_jobs,
    )
    _exit_with(lambda: run_up(options, os.environ, Console()))


@app.command()
def demo(
    *,
    jobs: Annotated[int, typer.Option(min=1, max=100_000, help="Sample jobs to submit")] = 200,
    host: Host = None,
    port: Port = None,
    data_dir: Data = _DATA_DIR,
    max_workers: MaxWorkers = None,
    concurrency: Concurrency = None,
    exit_after_jobs: ExitAfter = None,
) -> None:
    """Start the whole system, submit sample jobs, show them finish, and stay up until Ctrl-C."""
    from jobqueue_cli.demo import run_demo  # noqa: PLC0415 -- as above
    from jobqueue_cli.plan import UpOptions  # noqa: PLC0415

    options = UpOptions(
        host=host,
        port=port,
        data_dir=data_dir,
        max_workers=max_workers,
        concurrency=concurrency,
        exit_after_jobs=exit_after_jobs,
    )
    _exit_with(lambda: run_demo(options, os.environ, jobs))


@app.command()
def version() -> None:
    """Print the version."""
    from jobqueue_core.build import build_version  # noqa: PLC0415 -- as above

    typer.echo(f"jobqueue {build_version()}")


def _exit_with(command: Callable[[], int]) -> None:
    """Run a command; what goes wrong is told in a line each, without a traceback."""
    from jobqueue_core.settings.errors import SettingsError  # noqa: PLC0415 -- as above

    try:
        code = command()
    except SettingsError as error:
        for problem in error.errors:
            typer.echo(problem, err=True)
        code = BAD_ARGUMENTS
    except CommandError as error:
        typer.echo(f"jobqueue: {error}", err=True)
        code = error.exit_code
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    sys.exit(app())


if __name__ == "__main__":
    main()
