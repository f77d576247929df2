"""Submits the load over the REST API, through everything that happens to it."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import aiohttp

from jobqueue_chaos.facts import Submitted
from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from jobqueue_chaos.mix import JobSpec
    from jobqueue_chaos.witness import Witness

_CALL_SECONDS = 8.0
_AT_ONCE = 64
_OK, _ACCEPTED, _CONFLICT, _BUSY, _SERVER = 200, 202, 409, 429, 500


class Client:
    """A client of several API processes; an asynchronous context manager.

    Attributes:
        submitted: the load so far, by idempotency key.

    """

    def __init__(self, ports: Sequence[int], witness: Witness, seed: int) -> None:
        """Take the ports of the API processes and the service, which is told of retries."""
        self.submitted: dict[str, Submitted] = {}
        self._bases = [f"http://{HOST}:{port}" for port in ports]
        self._witness = witness
        self._source = random.Random(f"{seed} client")
        self._by_id: dict[str, Submitted] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._in_order: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._later: set[asyncio.Task[None]] = set()

    async def submit_all(self, specs: Sequence[JobSpec], per_second: float) -> None:
        """Submit at a steady rate; returns when every job has been accepted (or refused for good)."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number, spec in enumerate(specs):
                await asyncio.sleep(max(0.0, began + number / per_second - loop.time()))
                group.create_task(self.submit(spec))

    async def submit(self, spec: JobSpec) -> Submitted:
        """Submit one job and go on until it is answered."""
        job = Submitted(spec, len(self.submitted))
        self.submitted[spec.key] = job
        if spec.ordering_key is None:
            async with self._turns:
                await self._until_accepted(job)
        else:
            # The order of a key is that of the answers: one after another.
            async with self._in_order[spec.ordering_key]:
                await self._until_accepted(job)
        if job.job_id is not None:
            self._by_id[job.job_id] = job
            if spec.cancel_after_seconds is not None:
                self._spawn(self._cancel(job, job.job_id, spec.cancel_after_seconds))
            elif spec.is_retried:
                self._spawn(self._run_again(job, job.job_id))
        return job

    async def _until_accepted(self, job: Submitted) -> None:
        body = job.spec.body()
        while job.job_id is None and job.refusal is None:
            job.tries += 1
            status, answer = await self._post("/addJob", body)
            if status == _OK:
                job.job_ids.append(answer["jobId"])
            elif status is None:
                job.unanswered += 1
            elif status < _SERVER and status != _BUSY:
                job.refusal = f"{status} {answer}"
            if job.job_id is None:
                await asyncio.sleep(self._source.uniform(0.1, 0.6))
        # Now and then a client asks again although it knows: the same key must be the same job.
        if job.job_id is not None and self._source.random() < 0.02:
            status, answer = await self._post("/addJob", body)
            if status == _OK and answer["jobId"] not in job.job_ids:
                job.job_ids.append(answer["jobId"])

    async def _cancel(self, job: Submitted, job_id: str, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        while True:
            status, answer = await self._post(f"/jobs/{job_id}/cancel")
            if status == _OK or (status == _CONFLICT and answer.get("jobStatus") is not None):
                job.cancelled = status == _OK or answer["jobStatus"] == "CANCELLED"
                return
            await asyncio.sleep(0.5)

    async def _run_again(self, job: Submitted, job_id: str) -> None:
        """Once it has failed, have it run again."""
        while True:
            await asyncio.sleep(1.0)
            status, answer = await self._get(f"/jobs/{job_id}")
            if status == _OK and answer["status"] == "FAILED":
                break
        # The service must know before the job can be called.
        self._witness.runs[job_id] += 1
        await (self._redrive(job, job_id) if job.spec.by_redrive else self._retry(job, job_id))

    async def _retry(self, job: Submitted, job_id: str) -> None:
        while True:
            status, answer = await self._post(f"/jobs/{job_id}/retry")
            if status == _OK or (status == _CONFLICT and answer.get("jobStatus") is not None):
                # A conflict after an unanswered retry: that one has been carried out.
                job.retries += 1
                return
            await asyncio.sleep(0.5)

    async def _redrive(self, job: Submitted, job_id: str) -> None:
        """Ask for a redrive, again where no answer comes, and wait until one of them is over."""
        path = f"/queues/{job.spec.queue}/dead-letters"
        job.retries += 1
        task: str | None = None
        while True:
            if task is None:
                status, answer = await self._post(f"{path}/redrive", {"jobIds": [job_id]})
                task = answer["id"] if status == _ACCEPTED else None
            else:
                status, answer = await self._get(f"{path}/redrives/{task}")
                if status == _OK and answer["state"] != "running":
                    return
            await asyncio.sleep(0.5)

    def _spawn(self, doing: Any) -> None:  # noqa: ANN401 - a coroutine of this class
        task = asyncio.create_task(doing)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def finished(self) -> None:
        """Return when every cancel and retry has been answered."""
        while self._later:
            await asyncio.gather(*self._later)

    async def _post(self, path: str, body: dict[str, Any] | None = None) -> tuple[int | None, dict[str, Any]]:
        return await self._call("POST", path, body)

    async def _get(self, path: str) -> tuple[int | None, dict[str, Any]]:
        return await self._call("GET", path, None)

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int | None, dict[str, Any]]:
        """Call one of the API processes; (None, …) where no answer came, whatever was done."""
        url = self._source.choice(self._bases) + path
        try:
            async with self._session.request(method, url, json=body) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None, {}

    async def __aenter__(self) -> Self:
        """Open the connections."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(_CALL_SECONDS), connector=aiohttp.TCPConnector(limit=0)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await self._session.close()
