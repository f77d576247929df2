"""Following a collection of an API server that expires versions, cuts connections and goes away."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from jobqueue_api.cluster.kubernetes import KubernetesCluster
from jobqueue_api.metrics import ApiMetrics
from jobqueue_api.wake import JobQueueRef
from jobqueue_core.adapters.kube.client import KubeClient, KubeError
from jobqueue_core.adapters.kube.watch import KubeWatch
from jobqueue_core.ports.clock import SystemClock
from jobqueue_core.ports.cluster import Changed, Gone, Listed
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.kube_stub import KubeStub, thing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from jobqueue_core.ports.cluster import Sight

PATH = "/apis/example.dev/v1/namespaces/team/things"
WAIT_SECONDS = 20
EXPIRED = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


@pytest.fixture
async def stub() -> AsyncIterator[KubeStub]:
    async with KubeStub() as stub:
        yield stub


@pytest.fixture
def metrics() -> ApiMetrics:
    return ApiMetrics()


@pytest.fixture
def client(stub: KubeStub, metrics: ApiMetrics) -> Iterator[KubeClient]:
    client = KubeClient(metrics, configuration=stub.configuration)
    yield client
    client.close()


@asynccontextmanager
async def following(client: KubeClient) -> AsyncIterator[AsyncGenerator[Sight, None]]:
    async with contextlib.aclosing(KubeWatch(client, PATH, SystemClock()).sights()) as sights:
        yield sights


async def next_of(sights: AsyncGenerator[Sight, None]) -> Sight:
    async with asyncio.timeout(WAIT_SECONDS):
        return await anext(sights)


def asked(sights: AsyncGenerator[Sight, None]) -> asyncio.Task[Sight]:
    """Ask for the next sight, so that the watch is opened meanwhile."""
    return asyncio.create_task(next_of(sights))


async def test_everything_comes_first_and_then_each_change(stub: KubeStub, client: KubeClient) -> None:
    stub.items, stub.version = [thing("a", 3), thing("b", 5)], 7
    async with following(client) as sights:
        assert await next_of(sights) == Listed((thing("a", 3), thing("b", 5)))
        coming = asked(sights)
        watch = await stub.watch()
        assert (watch.query["resourceVersion"], watch.query["allowWatchBookmarks"]) == ("7", "true")
        assert int(watch.query["timeoutSeconds"]) > 0
        await watch.send("ADDED", thing("c", 8))
        assert await coming == Changed(thing("c", 8))
        await watch.send("MODIFIED", thing("a", 9))
        assert await next_of(sights) == Changed(thing("a", 9))
        await watch.send("DELETED", thing("b", 10))
        assert await next_of(sights) == Gone(thing("b", 10))


async def test_several_events_in_one_piece_and_one_in_several(stub: KubeStub, client: KubeClient) -> None:
    async with following(client) as sights:
        await next_of(sights)
        coming = asked(sights)
        watch = await stub.watch()
        event = '{"type": "ADDED", "object": {"metadata": {"resourceVersion": "%d"}, "n": %d}}\n'
        await watch.write(event % (2, 1) + event % (3, 2) + (event % (4, 3))[:20])
        seen = [await coming, await next_of(sights)]
        await watch.write((event % (4, 3))[20:])
        seen.append(await next_of(sights))
        assert [sight.object["n"] for sight in seen if isinstance(sight, Changed)] == [1, 2, 3]


async def test_a_watch_that_ends_is_opened_where_it_ended(stub: KubeStub, client: KubeClient) -> None:
    async with following(client) as sights:
        await next_of(sights)
        coming = asked(sights)
        watch = await stub.watch()
        await watch.send("ADDED", thing("a", 12))
        await coming
        coming = asked(sights)
        watch.end()
        watch = await stub.watch()
        assert watch.query["resourceVersion"] == "12"
        await watch.send("MODIFIED", thing("a", 13))
        assert await coming == Changed(thing("a", 13))
    assert stub.calls == ["list", "watch", "watch"]


async def test_a_cut_connection_loses_nothing(stub: KubeStub, client: KubeClient) -> None:
    async with following(client) as sights:
        await next_of(sights)
        coming = asked(sights)
        watch = await stub.watch()
        await watch.send("ADDED", thing("a", 12))
        await watch.write('{"type": "ADDED", "object": {"metada')
        assert await coming == Changed(thing("a", 12))
        coming = asked(sights)
        watch.cut()
        watch = await stub.watch()
        assert watch.query["resourceVersion"] == "12"
        await watch.send("ADDED", thing("b", 13))
        assert await coming == Changed(thing("b", 13))
    assert stub.calls.count("list") == 1


async def test_a_bookmark_is_no_change_but_moves_the_place(stub: KubeStub, client: KubeClient) -> None:
    async with following(client) as sights:
        await next_of(sights)
        coming = asked(sights)
        watch = await stub.watch()
        await watch.send("BOOKMARK", {"metadata": {"resourceVersion": "40"}})
        watch.end()
        watch = await stub.watch()
        assert watch.query["resourceVersion"] == "40"
        await watch.send("ADDED", thing("a", 41))
        assert await coming == Changed(thing("a", 41))


async def test_a_version_that_expired_while_watching_lists_anew(stub: KubeStub, client: KubeClient) -> None:
    async with following(client) as sights:
        await next_of(sights)
        coming = asked(sights)
        watch = await stub.watch()
        stub.items, stub.version = [thing("z", 90)], 99
        await watch.send("ERROR", EXPIRED)
        assert await coming == Listed((thing("z", 90),))
        coming = asked(sights)
        watch = await stub.watch()
        assert watch.query["resourceVersion"] == "99"
        await watch.send("ADDED", thing("y", 100))
        assert await coming == Changed(thing("y", 100))


async def test_a_version_that_is_refused_as_gone_lists_anew(stub: KubeStub, client: KubeClient) -> None:
    stub.refusals["watch"] = [410]
    async with following(client) as sights:
        with capture_logs() as logs:
            assert isinstance(await next_of(sights), Listed)
            assert isinstance(await next_of(sights), Listed)
        assert logs == []


async def test_an_outage_is_waited_out_and_told_once(
    stub: KubeStub, client: KubeClient, metrics: ApiMetrics
) -> None:
    async with following(client) as sights:
        await next_of(sights)
        coming = asked(sights)
        watch = await stub.watch()
        await watch.send("ADDED", thing("a", 12))
        await coming
        with capture_logs() as logs:
            coming = asked(sights)
            await stub.stop()
            labels = {"verb": "watch", "resource": "things", "code": "0"}
            async with asyncio.timeout(WAIT_SECONDS):
                while (metrics.registry.get_sample_value("jobqueue_kube_requests_total", labels) or 0) < 3:  # noqa: ASYNC110 - counted in another thread
                    await asyncio.sleep(0.01)
            await stub.start()
            watch = await stub.watch()
            await watch.send("ADDED", thing("b", 13))
            assert await coming == Changed(thing("b", 13))
    assert watch.query["resourceVersion"] == "12"
    assert [line["event"] for line in logs] == [
        "the API server cannot be followed",
        "the API server is followed again",
    ]


async def test_an_api_server_that_is_away_at_the_start(stub: KubeStub, client: KubeClient) -> None:
    await stub.stop()
    async with following(client) as sights:
        coming = asked(sights)
        await asyncio.sleep(0)
        stub.items = [thing("a", 1)]
        await stub.start()
        assert await coming == Listed((thing("a", 1),))


async def test_missing_rights_are_told_once_and_taken_when_they_come(
    stub: KubeStub, client: KubeClient
) -> None:
    stub.refusals["list"] = [403, 403, 403]
    with capture_logs() as logs:
        async with following(client) as sights:
            assert await next_of(sights) == Listed(())
    (line,) = logs
    assert "refused by the test" in line["error"]
    assert stub.calls == ["list"] * 4


async def test_the_end_leaves_neither_connection_nor_thread(stub: KubeStub, client: KubeClient) -> None:
    async with following(client) as sights:
        await next_of(sights)
        coming = asked(sights)
        watch = await stub.watch()
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
    async with asyncio.timeout(WAIT_SECONDS):
        await watch.closed.wait()
        while any(each.name.startswith("kube-watch") for each in threading.enumerate()):  # noqa: ASYNC110 - a thread
            await asyncio.sleep(0.01)


async def test_a_wake_is_a_merge_patch_on_a_connection_that_is_kept(
    stub: KubeStub, client: KubeClient, metrics: ApiMetrics
) -> None:
    cluster = KubernetesCluster(client, SystemClock(), ("team",))
    for seconds in range(3):
        await cluster.wake(JobQueueRef("team", "emails"), START + timedelta(seconds=seconds, milliseconds=5))
    path, kind, body = stub.patches[1]
    assert path == "/apis/jobqueue.dev/v1alpha1/namespaces/team/jobqueues/emails"
    assert kind == "application/merge-patch+json"
    assert body == {"metadata": {"annotations": {"jobqueue.dev/wake": "2026-01-01T12:00:01.005Z"}}}
    assert len(stub.connections) == 1
    labels = {"verb": "patch", "resource": "jobqueues", "code": "200"}
    assert metrics.registry.get_sample_value("jobqueue_kube_requests_total", labels) == 3


async def test_a_refused_wake_is_an_error(stub: KubeStub, client: KubeClient) -> None:
    stub.refusals["patch"] = [403]
    cluster = KubernetesCluster(client, SystemClock(), ("team",))
    with pytest.raises(KubeError, match="refused by the test") as caught:
        await cluster.wake(JobQueueRef("team", "emails"), START)
    assert caught.value.status == 403
