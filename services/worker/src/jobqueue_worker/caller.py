"""Calls the external HTTP service."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Protocol
from urllib.request import getproxies

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from jobqueue_core.domain import outcome
from jobqueue_core.domain.job import JobResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.outcome import Outcome
    from jobqueue_core.ports.clock import Clock

# Redirects that keep method and body (RFC 9110 §15.4.8, §15.4.9); the others would turn the
# job into a GET.
_FOLLOWED = frozenset({307, 308})
_REDIRECTS = range(300, 400)
_HOPS_MAX = 3
# Of an answer that is longer than what is kept, this much is read so that the connection can be
# used again; a longer one costs its connection.
_READ_MAX = 65_536
# Shorter than the 5 s after which common servers (uvicorn, Node.js) close an idle connection: a
# call on a connection that is just being closed is an attempt lost.
_KEEPALIVE_SECONDS = 4.0


class Processor(Protocol):
    """Does the work of a job; never raises for what the service does."""

    async def call(self, job: Job) -> Outcome:
        """Carry the job to the service and judge its answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorTarget:
    """Where and how jobs are posted.

    Attributes:
        url: of the service.
        timeout_seconds: for the whole answer of one call, where the job has none of its own.
        connect_timeout_seconds: for the connection.
        headers: sent with every call; may be secret.
        result_max_bytes: of the answer, kept with the job.
        connections: at most.

    """

    url: str
    timeout_seconds: float
    connect_timeout_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    result_max_bytes: int = 4096
    connections: int = 10


class HttpProcessor:
    """Implements `Processor` with one pooled client."""

    def __init__(
        self, target: ProcessorTarget, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Open the pool; a transport in place of the network is for tests."""
        self._target = target
        self._clock = clock
        self._url = httpx.URL(target.url)
        self._client = httpx.AsyncClient(
            transport=transport or _pooled_transport(target),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # The whole call is bounded below; httpx's own time-outs count each read anew.
            timeout=httpx.Timeout(None, connect=target.connect_timeout_seconds),
            headers={"User-Agent": "jobqueue-worker", **target.headers},
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close the pool."""
        await self._client.aclose()

    async def call(self, job: Job) -> Outcome:
        """Post the payload with the job's id and attempt, follow what may be followed, judge."""
        timeout_seconds = job.timeout_seconds or self._target.timeout_seconds
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._post(job)
        except (TimeoutError, httpx.TimeoutException):
            return outcome.of_timeout(timeout_seconds)
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
            return outcome.of_connection_error(f"{type(error).__name__}: {error}")

    async def _post(self, job: Job) -> Outcome:
        content = json.dumps(
            {**job.payload, "jobId": job.id, "attempt": job.attempts}, separators=(",", ":")
        ).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": job.id,
            "X-Job-Attempt": str(job.attempts),
        }
        if job.traceparent is not None:
            headers["traceparent"] = job.traceparent
        url, hops = self._url, 0
        while True:
            request = self._client.build_request("POST", url, content=content, headers=headers)
            answer = await self._client.send(request, stream=True)
            try:
                if answer.status_code not in _REDIRECTS:
                    return await self._judge(answer)
                location = answer.headers.get("Location", "")
                target = url.join(location)
                hops += 1
                follow = answer.status_code in _FOLLOWED and location and hops <= _HOPS_MAX
                if not follow or not _same_origin(url, target):
                    return outcome.of_refused_redirect(answer.status_code, location)
                url = target
            finally:
                await answer.aclose()

    async def _judge(self, answer: httpx.Response) -> Outcome:
        kept = self._target.result_max_bytes
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > max(kept, _READ_MAX):
                break
        result = JobResult(
            answer.status_code, body[:kept].decode("utf-8", "replace"), truncated=len(body) > kept
        )
        retry_after = outcome.parse_retry_after(answer.headers.get("Retry-After"), self._clock.now())
        return outcome.of_answer(answer.status_code, result, retry_after)


def _pooled_transport(target: ProcessorTarget) -> httpx.AsyncBaseTransport:
    """Return httpx's transport on aiohttp's connection pool.

    httpx's own pool walks all its connections at each request: at 50 connections that is 9 ms of
    CPU a call, twenty times as much.
    """

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=target.connections, keepalive_timeout=_KEEPALIVE_SECONDS, ssl=httpx.create_ssl_context()
        )
        return aiohttp.ClientSession(
            connector=connector,
            # One job's cookies are nothing to the next one.
            cookie_jar=aiohttp.DummyCookieJar(),
            # Honours HTTP_PROXY and its like, as httpx does; without one it would only cost two
            # trips to a thread per call (aiohttp reads .netrc).
            trust_env=bool(getproxies()),
        )

    return AiohttpTransport(client=session)


def _same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Compare scheme, host and port: a redirect elsewhere would carry secret headers along."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)
