"""The call of the external service, by what it answers."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from jobqueue_core.domain.job import AttemptOutcome, Job, Lease, Phase
from jobqueue_core.testing.clock import START, ManualClock
from jobqueue_worker.caller import HttpProcessor, ProcessorTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_core.domain.outcome import Outcome

JOB_ID = "018cc251-f400-7000-8000-000000000001"


def make_job(**changes: object) -> Job:
    fields: dict[str, object] = {
        "id": JOB_ID,
        "queue": "default",
        "payload": {"to": "ada", "odd": "\ud800"},
        "phase": Phase.RUNNING,
        "max_attempts": 3,
        "attempts": 2,
        "created_at": START,
        "updated_at": START,
        "run_at": START,
        "lease": Lease("t"),
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return Job(**{**fields, **changes})  # type: ignore[arg-type] # fields of the dataclass


async def call(
    answer: Callable[[httpx.Request], httpx.Response], job: Job | None = None, **target: object
) -> Outcome:
    settings: dict[str, object] = {
        "url": "https://service.example/jobs?a=1",
        "timeout_seconds": 30.0,
        "connect_timeout_seconds": 5.0,
        "headers": {"candidateKey": "s3cret"},
    }
    processor = HttpProcessor(
        ProcessorTarget(**{**settings, **target}),  # type: ignore[arg-type] # fields of the dataclass
        ManualClock(),
        httpx.MockTransport(answer),
    )
    try:
        return await processor.call(job or make_job())
    finally:
        await processor.close()


async def test_the_request_carries_payload_identity_and_headers() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text="thanks")

    outcome = await call(answer)
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "https://service.example/jobs?a=1")
    assert json.loads(request.content) == {
        "to": "ada",
        "odd": "\ud800",
        "jobId": JOB_ID,
        "attempt": 2,
    }
    assert request.headers["idempotency-key"] == JOB_ID
    assert request.headers["x-job-attempt"] == "2"
    assert request.headers["candidatekey"] == "s3cret"
    assert request.headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c")
    assert request.headers["content-type"] == "application/json"
    assert outcome.kind is AttemptOutcome.SUCCEEDED
    assert outcome.result is not None
    assert outcome.result.body == "thanks"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (200, AttemptOutcome.SUCCEEDED),
        (204, AttemptOutcome.SUCCEEDED),
        (500, AttemptOutcome.RETRYABLE),
        (503, AttemptOutcome.RETRYABLE),
        (429, AttemptOutcome.RETRYABLE),
        (408, AttemptOutcome.RETRYABLE),
        (425, AttemptOutcome.RETRYABLE),
        (400, AttemptOutcome.REJECTED),
        (404, AttemptOutcome.REJECTED),
        (304, AttemptOutcome.REJECTED),
    ],
)
async def test_the_status_decides(code: int, kind: AttemptOutcome) -> None:
    outcome = await call(lambda _: httpx.Response(code))
    assert (outcome.kind, outcome.code) == (kind, code)


async def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    later = datetime(2026, 1, 1, 12, 2, tzinfo=UTC)
    for value in ("120", later.strftime("%a, %d %b %Y %H:%M:%S GMT")):
        answer = httpx.Response(503, headers={"Retry-After": value})
        outcome = await call(lambda _, answer=answer: answer)  # type: ignore[misc] # mypy: a default
        assert outcome.retry_after_seconds == 120


async def test_a_long_answer_is_cut() -> None:
    outcome = await call(lambda _: httpx.Response(200, content=b"x" * 1_000_000), result_max_bytes=100)
    assert outcome.result is not None
    assert (outcome.result.body, outcome.result.truncated) == ("x" * 100, True)


async def test_an_answer_that_is_not_text_is_kept_readable() -> None:
    outcome = await call(lambda _: httpx.Response(200, content=b"\xff\x00ok"))
    assert outcome.result is not None
    assert outcome.result.body == "\ufffd\x00ok"


async def test_a_redirect_on_the_same_host_is_followed_as_a_post() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path} {len(request.content) > 0}")
        if request.url.path == "/jobs":
            return httpx.Response(307, headers={"Location": "/v2/jobs"})
        return httpx.Response(200)

    outcome = await call(answer)
    assert outcome.kind is AttemptOutcome.SUCCEEDED
    assert seen == ["POST /jobs True", "POST /v2/jobs True"]


@pytest.mark.parametrize(
    ("code", "location"),
    [
        (307, "https://evil.example/jobs"),
        (308, "http://service.example/jobs"),
        (307, "https://service.example:8443/jobs"),
        (302, "/elsewhere"),
        (307, ""),
        (307, "/jobs"),
    ],
)
async def test_any_other_redirect_is_refused(code: int, location: str) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(code, headers={"Location": location} if location else {})

    outcome = await call(answer)
    assert (outcome.kind, outcome.reason, outcome.code) == (AttemptOutcome.REJECTED, "redirect", code)
    assert set(seen) == {"service.example"}
    assert len(seen) <= 4


async def test_a_late_answer_is_a_time_out_that_names_the_limit() -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    outcome = await call(answer, timeout_seconds=0.01)  # type: ignore[arg-type] # httpx takes both kinds
    assert (outcome.kind, outcome.reason) == (AttemptOutcome.RETRYABLE, "timeout")
    assert outcome.error == "no answer within 0.01 s"
    outcome = await call(answer, make_job(timeout_seconds=0.02))  # type: ignore[arg-type] # as above
    assert outcome.error == "no answer within 0.02 s"


async def test_a_broken_connection_may_be_tried_again() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        message = "refused"
        raise httpx.ConnectError(message)

    outcome = await call(answer)
    assert (outcome.kind, outcome.reason) == (AttemptOutcome.RETRYABLE, "connection")
    assert outcome.error == "connection failed: ConnectError: refused"


async def test_one_jobs_cookies_are_nothing_to_the_next() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("cookie"))
        return httpx.Response(200, headers={"Set-Cookie": "session=1"})

    processor = HttpProcessor(
        ProcessorTarget(url="https://service.example/", timeout_seconds=1, connect_timeout_seconds=1),
        ManualClock(),
        httpx.MockTransport(answer),
    )
    await processor.call(make_job())
    await processor.call(make_job())
    await processor.close()
    assert seen == [None, None]


def test_secret_headers_do_not_show_in_the_targets_repr() -> None:
    target = ProcessorTarget(
        url="https://service.example/",
        timeout_seconds=1,
        connect_timeout_seconds=1,
        headers={"candidateKey": "s3cret"},
    )
    assert "s3cret" not in repr(target)
