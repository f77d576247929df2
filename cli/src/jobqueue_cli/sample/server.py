"""The sample service itself. A protocol on bare asyncio: benchmarks measure the worker, not their target."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, cast

from jobqueue_cli.sample.behaviour import answer_to
from jobqueue_cli.sample.http import BadRequestError, render, take_request

if TYPE_CHECKING:
    from jobqueue_cli.sample.behaviour import Answer, Behaviour
    from jobqueue_cli.sample.http import Request


class Calls:
    """What was answered so far; a late answer counts as `late` whether or not anybody waited for it."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.jobs: set[str] = set()

    def count(self, job_id: str, answer: Answer, *, late: bool) -> None:
        """Count one call."""
        self.jobs.add(job_id)
        self.answers["late" if late else str(answer.status)] += 1

    def as_json(self) -> bytes:
        """Return the counts."""
        answers = dict(sorted(self.answers.items()))
        return json.dumps(
            {"calls": self.answers.total(), "jobs": len(self.jobs), "answers": answers}
        ).encode()


class SampleProtocol(asyncio.Protocol):
    """One connection: requests one after the other, each answered when its time has come."""

    def __init__(self, behaviour: Behaviour, calls: Calls) -> None:
        self._behaviour = behaviour
        self._calls = calls
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the protocol's signature
        """Forget what nobody waits for any more."""
        self._transport = None
        if self._answering is not None:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect, and answer what is complete."""
        self._buffer += data
        self._next()

    def _next(self) -> None:
        if self._answering is not None or self._transport is None:
            return
        try:
            request = take_request(self._buffer)
        except BadRequestError as error:
            self._transport.write(render(error.status, b"{}", {"Connection": "close"}))
            self._transport.close()
            return
        if request is not None:
            delay, answer = self._answer(request)
            loop = asyncio.get_running_loop()
            self._answering = loop.call_later(delay, self._send, answer, request.keeps_alive)

    def _send(self, answer: bytes, keep: bool) -> None:  # noqa: FBT001 -- called by the timer
        self._answering = None
        if self._transport is None:
            return
        self._transport.write(answer)
        if keep:
            self._next()
        else:
            self._transport.close()

    def _answer(self, request: Request) -> tuple[float, bytes]:
        """Return the answer and the seconds until it is sent."""
        if request.method == "GET" and request.path == "/calls":
            return 0.0, render(200, self._calls.as_json())
        if request.method == "GET" and request.path == "/healthz":
            return 0.0, render(200, b'{"status": "ok"}')
        if request.method != "POST":
            return 0.0, render(405, b"{}", {"Allow": "POST"})
        job_id, attempt, asked = _job(request)
        if job_id is None:
            return 0.0, render(400, b'{"error": "expected a JSON object with jobId and attempt"}')
        answer = answer_to(self._behaviour, job_id, attempt, asked)
        late = answer.delay_seconds == self._behaviour.late_seconds != self._behaviour.latency_seconds
        self._calls.count(job_id, answer, late=late)
        body = json.dumps({"jobId": job_id, "attempt": attempt, "status": answer.status}).encode()
        wait = answer.retry_after_seconds
        return answer.delay_seconds, render(
            answer.status, body, None if wait is None else {"Retry-After": str(wait)}
        )


def _job(request: Request) -> tuple[str | None, int, object]:
    """Return the job's id, the number of the attempt, and the answer that its payload asks for."""
    try:
        body: object = json.loads(request.body)
    except ValueError:
        return None, 0, None
    if not isinstance(body, dict):
        return None, 0, None
    job_id, attempt = body.get("jobId"), body.get("attempt")
    if not isinstance(job_id, str) or not isinstance(attempt, int):
        return None, 0, None
    return job_id, attempt, body.get("answer")  # what a job's payload asks for


async def serve(behaviour: Behaviour, host: str, port: int) -> asyncio.Server:
    """Listen; port 0 takes a free one.

    Raises:
        OSError: The address cannot be listened on.
    """
    calls = Calls()
    return await asyncio.get_running_loop().create_server(
        lambda: SampleProtocol(behaviour, calls), host, port
    )
