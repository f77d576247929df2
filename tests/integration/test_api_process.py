"""The API as a process, on a real database and queue, stopped and cut off as machines do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.ports.store import JobFilter
from jobqueue_core.telemetry.metrics import Metrics
from jobqueue_testsupport.api_rig import assert_problem
from jobqueue_testsupport.server import EmbeddedMongo, EmbeddedSqs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

WAIT_SECONDS = 30


class Api:
    """A running `jobqueue-api` and a client of it; `lines` is its log so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read())
        self.client = httpx.AsyncClient(timeout=WAIT_SECONDS)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for text in self.process.stderr:
            line = json.loads(text)
            self.lines.append(line)
            if line["event"] == "ready":
                self.client.base_url = line["url"]
                self._ready.set()

    async def listening(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            await self._ready.wait()

    async def answers(self, method: str, path: str, status: int, words: str = "") -> httpx.Response:
        """Call until the status, and an answer that has the words, comes; bounded."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                answer = await self.client.request(method, path)
                if answer.status_code == status and words in answer.text:
                    return answer
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_SECONDS):
            await self._reader
            return await self.process.wait()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._reader
        await self.client.aclose()


@asynccontextmanager
async def api(folder: Path, **env: str) -> AsyncIterator[Api]:
    (folder / "application.yaml").write_text("{}")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "jobqueue_api.main"),
        env={**os.environ, "JOBQUEUE_CONFIG_DIR": str(folder), "JOBQUEUE_API__PORT": "0", **env},
        stderr=asyncio.subprocess.PIPE,
    )
    running = Api(process)
    try:
        yield running
    finally:
        await running.end()


def environment(uri: str, database: str, queue: str) -> dict[str, str]:
    return {
        "JOBQUEUE_MONGODB__URI": uri,
        "JOBQUEUE_MONGODB__DATABASE": database,
        "JOBQUEUE_MONGODB__GUARD_INDEX": "true",
        "JOBQUEUE_MONGODB__TIMEOUT_SECONDS": "1",
        "JOBQUEUE_SQS__QUEUE_NAME": queue,
        "JOBQUEUE_SQS__CREATE": "true",
        "JOBQUEUE_RELAY__GRACE_SECONDS": "1",
        "JOBQUEUE_RELAY__POLL_SECONDS": "0.1",
    }


@asynccontextmanager
async def existing_queue(name: str) -> AsyncIterator[SqsQueue]:
    plan = QueuePlan(
        name=name,
        dead_letter_name=f"{name}-dead-letter",
        visibility_timeout_seconds=60,
        max_receive_count=10,
    )
    async with SqsConnection(Metrics("test")) as connection:
        queue = SqsQueue(connection, plan)
        await queue.prepare()
        yield queue


async def receive_all(queue: SqsQueue, wanted: set[str]) -> set[str]:
    """Receive until every wanted job has been seen, and return all that were; bounded."""
    found: set[str] = set()
    async with asyncio.timeout(WAIT_SECONDS):
        while not wanted <= found:
            # A server that has just been started again breaks the connections it had.
            with contextlib.suppress(QueueUnavailableError):
                found |= {json.loads(message.body)["jobId"] for message in await queue.receive(10, 1)}
    return found


async def test_jobs_are_stored_and_sent_and_the_end_is_clean(
    embedded_mongo_uri: str, mongo_database: str, aws_env: str, queue_name: str, tmp_path: Path
) -> None:
    del aws_env
    async with api(tmp_path, **environment(embedded_mongo_uri, mongo_database, queue_name)) as running:
        await running.listening()
        await running.answers("GET", "/readyz", 200)
        calls = [
            running.client.post("/addJob", json={"payload": {"n": n}}, headers={"X-Request-Id": f"r{n}"})
            for n in range(50)
        ]
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} == {200}
        ids = {answer.json()["jobId"] for answer in answers}
        assert await running.stop() == 0
        assert running.lines[-1]["event"] == "stopped"
        logged = {line["request_id"]: line for line in running.lines if line["event"] == "request"}
        assert {f"r{n}" for n in range(50)} <= set(logged)
        assert logged["r0"]["seconds"] > 0
        assert logged["r0"]["component"] == "api"
    driver = open_driver("pymongo", embedded_mongo_uri, mongo_database)
    jobs = await MongoJobStore(driver).page(JobFilter(), limit=100)
    await driver.close()
    assert {job.id for job in jobs} == ids
    assert all(job.sent_at is not None for job in jobs)
    async with existing_queue(queue_name) as queue:
        assert await receive_all(queue, ids) == ids


async def test_one_key_at_once_from_many_clients_is_one_job(
    embedded_mongo_uri: str, mongo_database: str, aws_env: str, queue_name: str, tmp_path: Path
) -> None:
    del aws_env
    async with api(tmp_path, **environment(embedded_mongo_uri, mongo_database, queue_name)) as running:
        await running.listening()
        await running.answers("GET", "/readyz", 200)
        calls = [running.client.post("/addJob", json={"idempotencyKey": "k"}) for _ in range(40)]
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["jobId"] for answer in answers}) == 1
        assert sum("idempotency-replayed" in answer.headers for answer in answers) == 39
        other = await running.client.post("/addJob", json={"idempotencyKey": "k", "payload": {"n": 1}})
        assert_problem(other, 409, "idempotency_conflict")


async def test_job_is_listed_cancelled_and_run_again(
    embedded_mongo_uri: str, mongo_database: str, aws_env: str, queue_name: str, tmp_path: Path
) -> None:
    del aws_env
    async with api(tmp_path, **environment(embedded_mongo_uri, mongo_database, queue_name)) as running:
        await running.listening()
        await running.answers("GET", "/readyz", 200)
        batch = {"jobs": [{"payload": {"n": n}} for n in range(25)]}
        results = (await running.client.post("/jobs/batch", json=batch)).json()["results"]
        seen: list[str] = []
        params, page = {"limit": "10"}, dict[str, Any]()
        for _ in range(3):
            page = (await running.client.get("/jobs", params=params)).json()
            seen += [job["id"] for job in page["jobs"]]
            params["cursor"] = page["nextCursor"]
        assert page["nextCursor"] is None
        assert seen == [result["jobId"] for result in reversed(results)]
        path = f"/jobs/{seen[0]}"
        assert (await running.client.post(f"{path}/cancel")).json()["status"] == "CANCELLED"
        assert_problem(await running.client.post(f"{path}/cancel"), 409, "job_not_cancellable")
        counted = (await running.client.get("/status?count=30&status_type=CANCELLED")).json()["data"]
        assert [job["id"] for job in counted["jobs"]] == [seen[0]]
        assert (await running.client.post(f"{path}/retry")).json()["status"] == "PENDING"
        view = (await running.client.get("/queues/default")).json()
        assert view["jobs"]["queued"] == 25
        assert view["messages"]["visible"] >= 25


async def test_database_away_at_start_and_later(
    aws_env: str, mongo_database: str, queue_name: str, tmp_path: Path
) -> None:
    del aws_env
    mongo = EmbeddedMongo(tmp_path / "mongo")
    async with api(tmp_path, **environment(mongo.url, mongo_database, queue_name)) as running:
        await running.listening()
        assert_problem(await running.client.get("/readyz"), 503, "not_ready")
        with mongo:
            await running.answers("GET", "/readyz", 200)
            await running.answers("POST", "/addJob", 200)
            mongo.kill()
            refused = await running.answers("POST", "/addJob", 503)
            assert_problem(refused, 503, "store_unavailable")
            assert refused.headers["retry-after"] == "5"
            await running.answers("GET", "/readyz", 503)
            assert (await running.client.get("/healthz")).status_code == 200
            mongo.start()
            await running.answers("GET", "/readyz", 200)
            job_id = (await running.answers("POST", "/addJob", 200)).json()["jobId"]
            assert (await running.client.get(f"/jobs/{job_id}")).json()["status"] == "PENDING"


async def test_sqs_away_at_start_and_later(
    embedded_mongo_uri: str,
    mongo_database: str,
    use_aws: Callable[[str], None],
    queue_name: str,
    tmp_path: Path,
) -> None:
    sqs = EmbeddedSqs(tmp_path / "sqs")
    use_aws(sqs.url)
    async with api(tmp_path, **environment(embedded_mongo_uri, mongo_database, queue_name)) as running:
        await running.listening()
        ready = await running.answers("GET", "/readyz", 200)
        assert ready.json()["checks"]["queue"] == {"default": "unreachable"}
        early = (await running.answers("POST", "/addJob", 200)).json()["jobId"]
        with sqs:
            await running.answers("GET", "/readyz", 200, '"default":"ok"')
            async with existing_queue(queue_name) as queue:
                assert await receive_all(queue, {early}) == {early}
                sqs.stop()
                late = {(await running.answers("POST", "/addJob", 200)).json()["jobId"] for _ in range(15)}
                sqs.start()
                assert await receive_all(queue, late) <= late | {early}


async def test_bad_settings_end_it_with_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text("api: {port: -1}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "jobqueue_api.main"),
        env={**os.environ, "JOBQUEUE_CONFIG_DIR": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode == 2
    lines = stderr.decode().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["mongodb.uri", "api.port"]


@pytest.mark.usefixtures("aws_env")
async def test_taken_address_ends_it_with_a_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        env = environment("mongodb://127.0.0.1:1/", "unused", "unused") | {"JOBQUEUE_API__PORT": port}
        async with api(tmp_path, **env) as running:
            assert await running.process.wait() == 1
            await running.end()
    assert [line["event"] for line in running.lines] == ["cannot listen"]
