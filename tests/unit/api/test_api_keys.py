"""API keys."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import structlog

from jobqueue_testsupport.api_rig import ApiRig, assert_problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


KEYS = [{"name": "billing", "sha256": digest("key-1")}, {"name": "mail", "sha256": digest("key-2").upper()}]


@pytest_asyncio.fixture
async def secured() -> ApiRig:
    return ApiRig(api={"auth": {"enabled": True, "keys": KEYS}})


@pytest_asyncio.fixture
async def stranger(secured: ApiRig) -> AsyncIterator[httpx.AsyncClient]:
    async with secured.serve() as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Authorization": "Bearer key-1"}, "billing"),
        ({"Authorization": "bearer key-2"}, "mail"),
        ({"X-API-Key": "key-1"}, "billing"),
        ({"X-API-Key": "key-2", "Authorization": "Basic eDp5"}, "mail"),
    ],
)
async def test_known_key_is_let_in(
    secured: ApiRig, stranger: httpx.AsyncClient, headers: dict[str, str], name: str
) -> None:
    assert (await stranger.post("/addJob", headers=headers)).status_code == 200
    assert len(secured.store.jobs) == 1
    assert secured.requests.lines[-1]["client"] == name


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer hunter2-wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "key-1"},
        {"Authorization": "Basic key-1"},
        {"X-API-Key": "hunter2-wrong"},
        {"X-API-Key": digest("key-1")},
        {"Authorization": "Bearer hunter2-wrong", "X-API-Key": "key-1"},
    ],
)
@pytest.mark.parametrize("path", ["/addJob", "/status", "/queues", "/nowhere"])
async def test_stranger_is_kept_out(
    secured: ApiRig, stranger: httpx.AsyncClient, headers: dict[str, str], path: str
) -> None:
    method = "POST" if path == "/addJob" else "GET"
    answer = await stranger.request(method, path, headers=headers)
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "hunter2" not in answer.text
    assert secured.store.jobs == {}
    assert secured.requests.lines[-1]["client"] == ""


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"])
async def test_probes_and_documentation_stay_open(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 200


async def test_warning_when_keys_are_off() -> None:
    with structlog.testing.capture_logs() as logs:
        async with ApiRig().serve():
            pass
    warnings = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert len(warnings) == 1
    assert "API keys are off" in warnings[0]


async def test_no_warning_when_keys_are_on(secured: ApiRig) -> None:
    with structlog.testing.capture_logs() as logs:
        async with secured.serve():
            pass
    assert [line for line in logs if line["log_level"] == "warning"] == []
