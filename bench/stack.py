"""The system under test: the product's own commands on embedded servers, in a folder that goes away."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3
import httpx
from pymongo import AsyncMongoClient

from bench.processes import Processes, Running, script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pymongo.asynchronous.collection import AsyncCollection
    from types_aiobotocore_sqs import SQSClient

HOST = "127.0.0.1"
DATABASE = "jobqueue"
QUEUE = "jobs"
RECEIVE_WAIT_SECONDS = 1
_REGION = "us-east-1"
_CONFIG = Path(__file__).parents[1] / "config"
_OTHER_PROGRAMS = ("JOBQUEUE_", "AWS_")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


class Stack:
    """Database and queue, and how the product is started on them.

    Attributes:
        env: the environment of the product's processes.
        mongo: the database's process.
        sqs: the queue's process.
        jobs: the collection of jobs.

    """

    def __init__(self, folder: Path, processes: Processes) -> None:
        """Choose ports; nothing is started yet."""
        self.processes = processes
        self._folder = folder
        self._mongo_port, self._sqs_port = free_port(), free_port()
        self.mongo_uri = f"mongodb://{HOST}:{self._mongo_port}/?retryWrites=false"
        self.sqs_endpoint = f"http://{HOST}:{self._sqs_port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHER_PROGRAMS)}
        self.plain_env = {**kept, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
        self.env = {
            **self.plain_env,
            "AWS_ENDPOINT_URL_SQS": self.sqs_endpoint,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": _REGION,
            "AWS_DEFAULT_REGION": _REGION,
            "JOBQUEUE_CONFIG_DIR": str(_CONFIG),
            "JOBQUEUE_MONGODB__URI": self.mongo_uri,
            "JOBQUEUE_MONGODB__DATABASE": DATABASE,
            "JOBQUEUE_MONGODB__GUARD_INDEX": "true",
            "JOBQUEUE_SQS__CREATE": "true",
            # As `jobqueue up`: ends a worker that is told to stop sooner, and costs nothing here.
            "JOBQUEUE_SQS__RECEIVE_WAIT_SECONDS": str(RECEIVE_WAIT_SECONDS),
        }
        self._exit = AsyncExitStack()
        self._http = httpx.AsyncClient(timeout=10.0, trust_env=False)

    async def open(self) -> None:
        """Start database and queue, and connect to them."""
        data, state = self._folder / "database", self._folder / "queue"
        data.mkdir()
        state.mkdir()
        self.mongo = await self.processes.start(
            "database",
            [
                *(script("secantusd-rs"), "--host", HOST, "--port", str(self._mongo_port)),
                *("--storage-path", str(data), "--log-level", "WARNING", "--sync-on-commit"),
                *("--cache-size", "256M", "--log-file-max", "128MB"),
            ],
            self.plain_env,
            lambda: _accepts(self._mongo_port),
        )
        self.sqs = await self.processes.start(
            "queue",
            [script("ministack")],
            {
                **self.plain_env,
                "BIND_HOST": HOST,
                "GATEWAY_PORT": str(self._sqs_port),
                "PERSIST_STATE": "1",
                "STATE_DIR": str(state),
                "IOT_MTLS_ENABLED": "0",
            },
            lambda: _accepts(self._sqs_port),
        )
        mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.mongo_uri, tz_aware=True)
        self._exit.push_async_callback(mongo.close)
        self._exit.push_async_callback(self._http.aclose)
        self.jobs: AsyncCollection[dict[str, Any]] = mongo[DATABASE]["jobs"]
        client = aioboto3.Session().client(
            "sqs",
            endpoint_url=self.sqs_endpoint,
            region_name=_REGION,
            aws_access_key_id="bench",
            aws_secret_access_key="bench",  # noqa: S106 - the embedded queue takes anything
        )
        self.sqs_client: SQSClient = await self._exit.enter_async_context(client)

    async def close(self) -> None:
        """Close the connections."""
        await self._exit.aclose()

    async def start_api(self, **settings: str) -> tuple[Running, int]:
        """Start the API as users do; return it and its port when it takes jobs."""
        port = free_port()
        env = {**self.env, "JOBQUEUE_API__PORT": str(port), **settings}

        async def is_ready() -> bool:
            return await self.get(port, "/readyz") is not None

        return await self.processes.start("api", [script("jobqueue-api")], env, is_ready), port

    async def start_worker(self, processor_url: str, **settings: str) -> tuple[Running, int]:
        """Start a worker as users do; return it and the port of its metrics."""
        port = free_port()
        env = {
            **self.env,
            "JOBQUEUE_PROCESSOR__URL": processor_url,
            "JOBQUEUE_WORKER__METRICS_PORT": str(port),
            **settings,
        }

        async def is_ready() -> bool:
            return await self.get(port, "/healthz") is not None

        return await self.processes.start("worker", [script("jobqueue-worker")], env, is_ready), port

    async def get(self, port: int, path: str) -> str | None:
        """Return the text of a page; None where the answer is no 200 or none at all."""
        try:
            answer = await self._http.get(f"http://{HOST}:{port}{path}")
        except httpx.TransportError:
            return None
        return answer.text if answer.is_success else None

    async def queue_counts(self, name: str = QUEUE) -> dict[str, int]:
        """Return the queue's counts: visible, in flight."""
        url = (await self.sqs_client.get_queue_url(QueueName=name))["QueueUrl"]
        answer = await self.sqs_client.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        attributes = answer["Attributes"]
        return {
            "visible": int(attributes["ApproximateNumberOfMessages"]),
            "in_flight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        }


@asynccontextmanager
async def opened_stack() -> AsyncIterator[Stack]:
    """Give a fresh system; afterwards nothing of it is left, neither process nor file."""
    with tempfile.TemporaryDirectory(prefix="jobqueue-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        logs = folder / "logs"
        logs.mkdir()
        async with Processes(logs) as processes:
            stack = Stack(folder, processes)
            try:
                await stack.open()
                yield stack
            finally:
                await stack.close()


async def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 0.5).close()
    except OSError:
        return False
    return True


def cpu(processes: Mapping[str, Running]) -> dict[str, float]:
    """Return the CPU time of processes so far."""
    return {name: running.cpu_seconds() for name, running in processes.items()}
