"""The embedded parts as services: database, queue, and the sample of an external service."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from jobqueue_cli.environment import LATE_BY_SECONDS
from jobqueue_cli.plan import program
from jobqueue_cli.ports import LOOPBACK
from jobqueue_cli.service import ServicePlan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobqueue_cli.datadir import DataDir

    IsReady = Callable[[], Awaitable[bool]]

_HINT = ": pip install 'jobqueue-cli[embedded]', or name yours with {}"

# Shares of jobs and of attempts; enough to see each kind among a few dozen jobs.
_SAMPLE = {
    "--seed": "1",
    "--p-always-500": "0.03",
    "--p-400": "0.02",
    "--p-500": "0.10",
    "--p-429": "0.05",
    "--p-late": "0.03",
    "--latency": "0.1",
}


def database_plan(port: int, data: DataDir, is_ready: IsReady) -> ServicePlan:
    """The embedded database, speaking the protocol of MongoDB.

    It syncs before it acknowledges: without that a killed database has lost jobs that were accepted.
    """
    command = [
        *(
            program("secantusd-rs", _HINT.format("JOBQUEUE_MONGODB__URI")),
            "--config",
            str(data.database_config),
        ),
        *("--host", LOOPBACK, "--port", str(port), "--storage-path", str(data.database)),
        *("--log-level", "WARNING", "--sync-on-commit", "--cache-size", "256M", "--log-file-max", "128MB"),
    ]
    return ServicePlan(
        name="database", command=command, env=os.environ, log=data.log("database"), is_ready=is_ready
    )


def queue_plan(port: int, data: DataDir, is_ready: IsReady) -> ServicePlan:
    """The embedded queue, speaking the protocol of SQS; it writes its state when it gets SIGTERM."""
    env = {
        **os.environ,
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data.queue),
        "IOT_MTLS_ENABLED": "0",
    }
    command = [program("ministack", _HINT.format("AWS_ENDPOINT_URL_SQS"))]
    return ServicePlan(name="queue", command=command, env=env, log=data.log("queue"), is_ready=is_ready)


def sample_plan(port: int, timeout_seconds: float, data: DataDir, is_ready: IsReady) -> ServicePlan:
    """The sample service; its late answers come after the worker has given up waiting."""
    late = str(timeout_seconds + LATE_BY_SECONDS)
    options = {"--port": str(port), "--late-seconds": late, **_SAMPLE}
    command = [
        sys.executable,
        "-m",
        "jobqueue_cli.sample",
        *(part for pair in options.items() for part in pair),
    ]
    return ServicePlan(
        name="sample service", command=command, env=os.environ, log=data.log("sample"), is_ready=is_ready
    )
