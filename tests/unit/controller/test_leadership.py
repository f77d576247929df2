from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

import pytest

from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_core.testing.clock import ManualClock
from jobqueue_operator.cluster.leader import Leadership

if TYPE_CHECKING:
    from collections.abc import Mapping


class LeaseServer:
    """One Lease on a server that compares versions, and that can be away."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.away = False
        self._version = 0

    async def get(self, path: str) -> dict[str, Any]:
        self._answer(path)
        if self.lease is None:
            raise KubeError("there is none", status=404)
        return copy.deepcopy(self.lease)

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._answer(path)
        if self.lease is not None:
            raise KubeError("there is one", status=409)
        return self._store(body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._answer(path)
        assert self.lease is not None
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise KubeError("changed meanwhile", status=409)
        return self._store(body)

    async def delete(self, path: str) -> None:
        self._answer(path)
        self.lease = None

    def _answer(self, path: str) -> None:
        if self.away:
            raise KubeError(f"no answer for {path}", status=0)

    def _store(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self._version += 1
        stored = copy.deepcopy(dict(body))
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.lease = stored
        return stored


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


def leadership(server: LeaseServer, clock: ManualClock, identity: str) -> Leadership:
    return Leadership(
        server, namespace="system", name="lock", identity=identity, duration_seconds=9, clock=clock
    )


async def test_the_first_one_leads_and_the_second_waits(server: LeaseServer, clock: ManualClock) -> None:
    first, second = leadership(server, clock, "a"), leadership(server, clock, "b")
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await clock.advance(5)
    assert [first.held] == [True]
    assert [second.held] == [False]
    waiting.cancel()


async def test_a_dead_leader_is_followed_after_the_duration(server: LeaseServer, clock: ManualClock) -> None:
    await leadership(server, clock, "a").acquire()
    second = leadership(server, clock, "b")
    waiting = asyncio.create_task(second.acquire())
    await clock.advance(8)
    assert [second.held] == [False]
    await clock.advance(4)
    assert [second.held] == [True]
    await waiting


async def test_a_leader_that_renews_is_not_followed(server: LeaseServer, clock: ManualClock) -> None:
    first, second = leadership(server, clock, "a"), leadership(server, clock, "b")
    await first.acquire()
    tasks = [asyncio.create_task(first.keep()), asyncio.create_task(second.acquire())]
    await clock.advance(60)
    assert [first.held] == [True]
    assert [second.held] == [False]
    for task in tasks:
        task.cancel()


async def test_a_leader_without_a_server_stops_before_another_may_begin(
    server: LeaseServer, clock: ManualClock
) -> None:
    first = leadership(server, clock, "a")
    await first.acquire()
    keeping = asyncio.create_task(first.keep())
    server.away = True
    await clock.advance(5.9)
    assert [first.held] == [True]
    await clock.advance(0.2)
    assert [first.held] == [False]
    await clock.advance(3)
    await keeping


async def test_a_released_lease_is_taken_without_waiting(server: LeaseServer, clock: ManualClock) -> None:
    first, second = leadership(server, clock, "a"), leadership(server, clock, "b")
    await first.acquire()
    await first.release()
    assert server.lease is None
    assert [first.held] == [False]
    await second.acquire()
    assert [second.held] == [True]
