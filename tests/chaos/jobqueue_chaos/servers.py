"""The embedded database and queue of a run, which can be killed, and the disk of the database."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, cast

import aioboto3
from pymongo import AsyncMongoClient

from jobqueue_chaos.profile import SQS_NAMES, VISIBILITY_SECONDS
from jobqueue_chaos.sqs_proxy import job_of
from jobqueue_core.adapters.sqs.attributes import creation_attributes
from jobqueue_core.ports.queue_admin import QueuePlan
from jobqueue_testsupport.server import Command, EmbeddedMongo, EmbeddedSqs

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.asynchronous.collection import AsyncCollection
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

REGION = "eu-central-1"
_DISK_BYTES = 500_000_000
_DISK_BYTES_A_JOB = 25_000
_COUNTS: tuple[QueueAttributeNameType, ...] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class Disk:
    """A folder that can be full: a small file system of its own, which only root can mount."""

    def __init__(self, folder: Path, jobs: int) -> None:
        """Use a folder, which is made, for a database of so many jobs."""
        self.folder = folder
        self._bytes = _DISK_BYTES + _DISK_BYTES_A_JOB * jobs
        self.why_not: str | None = None
        self._filler = folder / "filler"

    async def mount(self) -> None:
        """Mount it where that is allowed; otherwise `why_not` says why it is an ordinary folder."""
        self.folder.mkdir(parents=True)
        if os.geteuid() != 0 or shutil.which("mount") is None:
            self.why_not = "needs root and mount"
            return
        code, said = await _run(
            "mount", "-t", "tmpfs", "-o", f"size={self._bytes}", "tmpfs", str(self.folder)
        )
        if code != 0:
            self.why_not = said.strip()

    def fill(self) -> None:
        """Leave nothing free."""
        free = shutil.disk_usage(self.folder).free
        # The database writes all the while: it may be first.
        with suppress(OSError), self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free)

    def free(self) -> None:
        """Give back what `fill` has taken."""
        self._filler.unlink(missing_ok=True)

    async def unmount(self) -> None:
        """Leave nothing mounted."""
        if self.why_not is None and self.folder.exists():
            await _run("umount", "-l", str(self.folder))


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")


class _SmallLogMongo(EmbeddedMongo):
    """Writes its log in small files: a large one, made ahead, would hide a full disk."""

    def command(self) -> Command:
        """Return how the server is started."""
        arguments, environment = super().command()
        return Command(tuple("2MB" if part == "128MB" else part for part in arguments), environment)


class Servers:
    """Database and queue, and the harness's own connections to them, which pass no proxy."""

    def __init__(self, folder: Path, jobs: int) -> None:
        """Keep everything below a folder; the disk is made for so many jobs."""
        self.disk = Disk(folder / "disk", jobs)
        self.mongo = _SmallLogMongo(self.disk.folder / "mongo")
        self.sqs = EmbeddedSqs(folder / "sqs")
        self._exit = AsyncExitStack()

    async def open(self) -> None:
        """Start both and connect."""
        await self.disk.mount()
        self._exit.push_async_callback(self.disk.unmount)
        self._exit.push_async_callback(asyncio.to_thread, self.mongo.kill)
        self._exit.push_async_callback(asyncio.to_thread, self.sqs.kill)
        await asyncio.gather(asyncio.to_thread(self.mongo.start), asyncio.to_thread(self.sqs.start))
        self._mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            self.mongo.url, tz_aware=True, serverSelectionTimeoutMS=5000
        )
        self._exit.push_async_callback(self._mongo.close)
        client = aioboto3.Session().client(
            "sqs",
            endpoint_url=self.sqs.url,
            region_name=REGION,
            aws_access_key_id="chaos",
            aws_secret_access_key="chaos",
        )
        self.client = cast("SQSClient", await self._exit.enter_async_context(client))

    async def close(self) -> None:
        """End both and leave nothing."""
        await self._exit.aclose()

    def jobs(self, database: str) -> AsyncCollection[dict[str, Any]]:
        """Return the collection of jobs."""
        return self._mongo[database]["jobs"]

    async def make_queues(self, max_receive_count: int) -> None:
        """Make what is missing of the queues, as infrastructure would."""
        for name in SQS_NAMES.values():
            plan = QueuePlan(
                name=name,
                dead_letter_name=dead_letter_name(name),
                visibility_timeout_seconds=VISIBILITY_SECONDS,
                max_receive_count=max_receive_count,
                create=True,
            )
            dead = await self._make(
                plan.dead_letter_name, creation_attributes(plan.settings(None), fifo=plan.fifo)
            )
            answer = await self.client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
            settings = plan.settings(answer["Attributes"]["QueueArn"])
            await self._make(name, creation_attributes(settings, fifo=plan.fifo))

    async def _make(self, name: str, attributes: dict[QueueAttributeNameType, str]) -> str:
        return (await self.client.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"]

    async def left(self) -> dict[str, int]:
        """Return what is in the queues: visible, in flight and delayed together."""
        counts: dict[str, int] = {}
        for name in SQS_NAMES.values():
            counts[name] = await self._count(await self._url(name))
        return counts

    async def _count(self, url: str) -> int:
        answer = await self.client.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)
        return sum(int(number) for number in answer["Attributes"].values())

    async def letters(self) -> list[tuple[str | None, str]]:
        """End the queue and read the dead letters that it has saved: the job that each names, and its text.

        Receiving would not show what a relay has just in hand: that is hidden for minutes.
        """
        await asyncio.to_thread(self.sqs.stop)
        saved = json.loads((self.sqs.folder / "data" / "sqs.json").read_text())
        names = {dead_letter_name(name) for name in SQS_NAMES.values()}
        return [
            (job_of(message["body"]), f"{message['body']} {message['message_attributes']}")
            for queue in saved["payload"]["queues"]["data"].values()
            if queue["name"] in names
            for message in queue["messages"]
        ]

    async def _url(self, name: str) -> str:
        return (await self.client.get_queue_url(QueueName=name))["QueueUrl"]


def dead_letter_name(name: str) -> str:
    """Return the name of a queue's dead-letter queue."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}-dead-letter{dot}{suffix}"
