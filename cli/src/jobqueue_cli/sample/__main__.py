"""Run the sample service: `python -m jobqueue_cli.sample --port 9000 --seed 1`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import NoReturn

from jobqueue_cli.sample.behaviour import Behaviour
from jobqueue_cli.sample.server import serve


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; exit code 2 for arguments that cannot be."""
    arguments = _parser().parse_args()
    try:
        behaviour = Behaviour(
            seed=arguments.seed,
            always_500=arguments.p_always_500,
            refused=arguments.p_400,
            error_500=arguments.p_500,
            busy_429=arguments.p_429,
            late=arguments.p_late,
            latency_seconds=arguments.latency,
            late_seconds=arguments.late_seconds,
            retry_after_seconds=arguments.retry_after,
        )
    except ValueError as error:
        _fail(str(error))
    asyncio.run(_run(behaviour, arguments.host, arguments.port))


async def _run(behaviour: Behaviour, host: str, port: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        server = await serve(behaviour, host, port)
    except OSError as error:
        _fail(f"cannot listen on {host}:{port}: {error.strerror}")
    print(f"ready: http://{host}:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await ended.wait()
    server.close()


def _fail(message: str) -> NoReturn:
    print(f"sample: {message}", file=sys.stderr)  # noqa: T201
    raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jobqueue_cli.sample", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    add("--seed", type=int, default=1, help="the same seed, job and attempt give the same answer")
    add(
        "--p-always-500", type=float, default=0.0, metavar="P", help="share of jobs that always fail with 500"
    )
    add("--p-400", type=float, default=0.0, metavar="P", help="share of jobs that are refused with 400")
    add("--p-500", type=float, default=0.0, metavar="P", help="share of attempts answered 500")
    add("--p-429", type=float, default=0.0, metavar="P", help="share of attempts answered 429, Retry-After")
    add("--p-late", type=float, default=0.0, metavar="P", help="share of attempts answered late")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="time that an answer takes")
    add("--late-seconds", type=float, default=3.0, metavar="SECONDS", help="time that a late answer takes")
    add("--retry-after", type=int, default=1, metavar="SECONDS", help="what a 429 asks for")
    return parser


if __name__ == "__main__":
    main()
