"""What every answer carries and every request leaves behind."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING

import pytest
import structlog

from jobqueue_api.access import ConsoleAccessLog, JsonAccessLog, NoAccessLog, access_log
from jobqueue_core.settings.service_sections import LoggingSettings
from jobqueue_testsupport.api_rig import ApiRig, assert_problem

if TYPE_CHECKING:
    import httpx


async def test_answer_carries_its_id_and_time(client: httpx.AsyncClient) -> None:
    answers = [await client.post("/addJob") for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    for answer in answers:
        assert float(answer.headers["x-process-time"]) >= 0


async def test_request_id_of_the_client_is_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/status?count=0", headers={"X-Request-Id": "edge-7.f_1"})
    assert answer.headers["x-request-id"] == "edge-7.f_1"
    assert_problem(answer, 422, "validation_failed")


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", 'a"b'])
async def test_request_id_that_could_do_harm_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/healthz", headers={b"X-Request-Id": given.encode("latin-1")})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("POST", "/addJob", "/addJob", 200),
        ("GET", "/jobs/nosuch", "/jobs/{job_id}", 404),
        ("GET", "/status?count=0", "/status", 422),
        ("GET", "/nowhere/at/all", "unmatched", 404),
        ("DELETE", "/addJob", "/addJob", 405),
        ("BREW", "/nowhere", "unmatched", 404),
    ],
)
async def test_request_is_measured_and_logged_by_its_route(
    rig: ApiRig, client: httpx.AsyncClient, method: str, path: str, route: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    (line,) = rig.requests.lines
    assert line["method"] == method
    assert line["path"] == path.partition("?")[0]
    assert (line["route"], line["status"]) == (route, status)
    assert line["request_id"] == answer.headers["x-request-id"]
    label = "other" if method == "BREW" else method
    assert rig.metric("jobqueue_http_request_seconds_count", route=route, method=label, code=str(status)) == 1


async def test_path_that_is_not_there(client: httpx.AsyncClient) -> None:
    document = assert_problem(await client.get("/nowhere"), 404, "not_found")
    assert "/nowhere" in document["detail"]


@pytest.mark.parametrize(
    ("path", "allow"), [("/addJob", "POST"), ("/status", "GET"), ("/jobs/x/cancel", "POST")]
)
async def test_method_that_is_not_there(client: httpx.AsyncClient, path: str, allow: str) -> None:
    answer = await client.request("PATCH", path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/addJob", "/status"])
async def test_the_unforeseen_is_a_problem_and_in_the_log(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    rig = ApiRig()

    async def broken(*_: object, **__: object) -> None:
        msg = "secret detail"
        raise RuntimeError(msg)

    monkeypatch.setattr(rig.store, "insert", broken)
    monkeypatch.setattr(rig.store, "page", broken)
    async with rig.serve() as client:
        with structlog.testing.capture_logs() as logs:
            answer = await client.request("POST" if path == "/addJob" else "GET", path)
    assert_problem(answer, 500, "internal_error")
    assert "secret detail" not in answer.text
    (line,) = [line for line in logs if line["event"] == "request failed"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert rig.requests.lines[-1]["status"] == 500


async def test_metrics_are_openmetrics(client: httpx.AsyncClient) -> None:
    await client.post("/addJob")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert 'jobqueue_jobs_submitted_total{queue="default"} 1.0' in answer.text
    assert answer.text.endswith("# EOF\n")


async def test_json_line_is_json_whatever_the_path() -> None:
    stream = io.StringIO()
    log = JsonAccessLog(stream)
    path = '/"\\\n\x00é\ud800' + "x" * 500
    for number in (1, 2):
        log.write(
            method="GET",
            path=path,
            route="unmatched",
            status=404,
            seconds=0.00125,
            request_id=f"r{number}",
            client="",
        )
    await asyncio.sleep(0)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == ["r1", "r2"]
    line = lines[0]
    assert line["path"] == path[:200]
    assert (line["event"], line["level"], line["component"], line["status"]) == (
        "request",
        "info",
        "api",
        404,
    )
    assert line["seconds"] == 0.00125
    assert line["time"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "form", "kind"),
    [
        ("info", "json", JsonAccessLog),
        ("debug", "console", ConsoleAccessLog),
        ("warning", "json", NoAccessLog),
        ("error", "console", NoAccessLog),
    ],
)
def test_access_log_is_as_the_settings_say(level: str, form: str, kind: type) -> None:
    settings = LoggingSettings.model_validate({"level": level, "format": form})
    assert isinstance(access_log(settings), kind)


def test_console_line_names_the_request() -> None:
    with structlog.testing.capture_logs() as logs:
        ConsoleAccessLog().write(
            method="GET", path="/x", route="/x", status=200, seconds=0.5, request_id="r", client="billing"
        )
    assert logs[0]["event"] == "request"
    assert (logs[0]["path"], logs[0]["client"]) == ("/x", "billing")
