"""Submit → first attempt with an idle worker, beside the bare queue's own send → receive."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import httpx

from bench.figures import BenchError, Figure, Section, summary
from bench.stack import HOST, RECEIVE_WAIT_SECONDS, Stack, opened_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from types_aiobotocore_sqs import SQSClient

_GOAL_SECONDS = 0.020
_ARRIVAL_SECONDS = 15.0
_WARM_UP = 5
# Longer than a delete is held back for company (0.1 s), shorter than a long poll, two of the embedded
# queue's ticks of 0.1 s wide.
_PAUSE_SECONDS = (0.4, 0.6)
_BARE_QUEUE = "bare"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Arrivals(asyncio.Protocol):
    """The external service: notes when a job's call comes in, and answers at once."""

    def __init__(self, waiting: dict[str, asyncio.Future[float]]) -> None:
        """Tell who waits, by the `probe` in a job's payload."""
        self._waiting = waiting
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Note and answer a call when all of it is there."""
        now = time.perf_counter()
        self._buffer += data
        _, found, body = self._buffer.partition(b"\r\n\r\n")
        try:
            job = json.loads(body) if found else None
        except ValueError:
            job = None
        if job is None:
            return
        self._buffer = b""
        self._transport.write(_ANSWER)
        future = self._waiting.get(job["probe"])
        if future is not None and not future.done():
            future.set_result(now)


@asynccontextmanager
async def _service(waiting: dict[str, asyncio.Future[float]]) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(lambda: Arrivals(waiting), HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}/jobs"
    finally:
        server.close()


@asynccontextmanager
async def _bare_receiver(sqs: SQSClient, waiting: dict[str, asyncio.Future[float]]) -> AsyncIterator[str]:
    """Receive from a queue of its own, one long poll after the other; give the queue's URL."""
    url = (await sqs.create_queue(QueueName=_BARE_QUEUE))["QueueUrl"]

    async def receive() -> None:
        while True:
            answer = await sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=RECEIVE_WAIT_SECONDS
            )
            now = time.perf_counter()
            for message in answer.get("Messages", []):
                future = waiting.get(message["Body"])
                if future is not None and not future.done():
                    future.set_result(now)
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    task = asyncio.create_task(receive())
    try:
        yield url
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def measure(*, quick: bool) -> Section:
    """Post single jobs and send single messages, side by side.

    Raises:
        BenchError: a job or a message did not arrive.

    """
    rounds = 15 if quick else 60
    waiting: dict[str, asyncio.Future[float]] = {}
    async with opened_stack() as stack, _service(waiting) as service:
        _, api_port = await stack.start_api()
        await stack.start_worker(service)
        async with (
            _bare_receiver(stack.sqs_client, waiting) as url,
            httpx.AsyncClient(base_url=f"http://{HOST}:{api_port}", trust_env=False) as api,
        ):
            count = _WARM_UP + rounds

            async def job(probe: str) -> tuple[float, float]:
                return await _one_job(api, waiting, f"job-{probe}")

            async def message(probe: str) -> tuple[float, float]:
                return await _one_message(stack.sqs_client, url, waiting, f"message-{probe}")

            through, alone = await asyncio.gather(_spaced(job, rounds), _spaced(message, rounds))
        lost = await _lost(stack, count)
    jobs, answers = zip(*through, strict=True)
    bare, _ = zip(*alone, strict=True)
    return _section(jobs, answers, bare, lost)


async def _spaced(
    send: Callable[[str], Awaitable[tuple[float, float]]], rounds: int
) -> list[tuple[float, float]]:
    """Send one after the other, each a while after the one before has arrived.

    The receiver's long poll began at that arrival, and the embedded queue looks at it in ticks from then on:
    pauses spread evenly over whole ticks meet each part of a tick equally often, which leaves little of the
    medians to chance.
    """
    shortest, longest = _PAUSE_SECONDS
    pauses = [shortest + (longest - shortest) * (number + 0.5) / rounds for number in range(rounds)]
    random.shuffle(pauses)
    for number in range(_WARM_UP):
        await send(f"warm-up-{number}")
        await asyncio.sleep(shortest)
    found: list[tuple[float, float]] = []
    for number, pause in enumerate(pauses):
        await asyncio.sleep(pause)
        found.append(await send(str(number)))
    return found


async def _one_job(
    api: httpx.AsyncClient, waiting: dict[str, asyncio.Future[float]], probe: str
) -> tuple[float, float]:
    """Return the seconds from the request to the call of the service, and to the API's answer."""
    arrival = waiting[probe] = asyncio.get_running_loop().create_future()
    sent = time.perf_counter()
    answer = await api.post("/addJob", json={"payload": {"probe": probe}})
    answered = time.perf_counter()
    if answer.status_code != httpx.codes.OK:
        raise BenchError(f"POST /addJob answered {answer.status_code}: {answer.text[:200]}")
    return await _arrived(arrival, probe) - sent, answered - sent


async def _one_message(
    sqs: SQSClient, url: str, waiting: dict[str, asyncio.Future[float]], probe: str
) -> tuple[float, float]:
    """Return the seconds from the request to the receipt, and to the queue's answer."""
    arrival = waiting[probe] = asyncio.get_running_loop().create_future()
    sent = time.perf_counter()
    await sqs.send_message(QueueUrl=url, MessageBody=probe)
    answered = time.perf_counter()
    return await _arrived(arrival, probe) - sent, answered - sent


async def _arrived(arrival: asyncio.Future[float], probe: str) -> float:
    try:
        async with asyncio.timeout(_ARRIVAL_SECONDS):
            return await arrival
    except TimeoutError as error:
        raise BenchError(f"{probe} did not arrive within {_ARRIVAL_SECONDS:g} s") from error


async def _lost(stack: Stack, posted: int) -> tuple[str, ...]:
    finished = await stack.jobs.count_documents({"status": "SUCCESS", "attempts": 1})
    return () if finished == posted else (f"{posted} jobs posted, {finished} finished in one attempt",)


def _section(
    jobs: Sequence[float], answers: Sequence[float], bare: Sequence[float], lost: tuple[str, ...]
) -> Section:
    ours, floor, answer = summary(jobs), summary(bare), summary(answers)
    more = ours["p50"] - floor["p50"]
    return Section(
        name="latency",
        figures=(
            Figure(
                what="submit → first attempt, idle worker",
                measured=f"p50 {_ms(ours['p50'])}, p99 {_ms(ours['p99'])} (n={len(jobs)})",
                goal=f"p50 within {_ms(_GOAL_SECONDS)} of the bare queue's",
                beside=f"bare queue p50 {_ms(floor['p50'])}, p99 {_ms(floor['p99'])}: {_ms(more)} more",
                met=more <= _GOAL_SECONDS,
            ),
        ),
        details={
            "submit_to_first_attempt_seconds": ours,
            "bare_send_to_receive_seconds": floor,
            "api_answer_seconds": answer,
            "p50_more_seconds": more,
            "receive_wait_seconds": RECEIVE_WAIT_SECONDS,
        },
        lost=lost,
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
