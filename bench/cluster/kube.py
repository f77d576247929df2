"""The API server as benchmarks speak with it: many calls at once, watches with the time of each event."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import yaml

from bench.figures import BenchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

_MERGE_PATCH = "application/merge-patch+json"
_CONNECTIONS = 8
_USER_AGENT = "jobqueue-bench"


class Kube:
    """A client with the rights of a kubeconfig whose certificates are files."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Use a session of `opened_kube`."""
        self._session = session

    async def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """Create an object in a collection.

        Raises:
            BenchError: the API server refused it.

        """
        return await self._call("POST", path, body, "application/json")

    async def patch(self, path: str, body: Mapping[str, Any]) -> Object:
        """Merge into an object (RFC 7396).

        Raises:
            BenchError: the API server refused it.

        """
        return await self._call("PATCH", path, body, _MERGE_PATCH)

    async def events(self, path: str) -> AsyncIterator[tuple[float, Object]]:
        """Give each object of a collection, and whenever it changes, with the moment of `time.monotonic`.

        Raises:
            BenchError: the API server refused the watch, or ended it.

        """
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(path, params={"watch": "1"}, timeout=timeout) as answer:
            if answer.status != HTTPStatus.OK:
                raise BenchError(f"watching {path}: {answer.status}: {await answer.text()}")
            async for line in answer.content:
                yield time.monotonic(), json.loads(line)["object"]
        raise BenchError(f"watching {path}: the API server ended it")

    async def _call(self, method: str, path: str, body: Mapping[str, Any], kind: str) -> Object:
        data = json.dumps(body)
        async with self._session.request(method, path, data=data, headers={"Content-Type": kind}) as answer:
            content = cast("Object", await answer.json(content_type=None))
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise BenchError(f"{method} {path}: {answer.status}: {content.get('message')}")
        return content


@asynccontextmanager
async def opened_kube(kubeconfig: Path) -> AsyncIterator[Kube]:
    """Give a client."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))  # noqa: ASYNC240 - one small file
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    # Watches hold a connection each.
    connector = aiohttp.TCPConnector(ssl=context, limit=2 * _CONNECTIONS)
    async with aiohttp.ClientSession(
        cluster["server"],
        connector=connector,
        headers={"Accept": "application/json", "User-Agent": _USER_AGENT},
        timeout=aiohttp.ClientTimeout(total=30),
    ) as session:
        yield Kube(session)


class Sightings:
    """Tells when an object of a collection was first seen in a state."""

    def __init__(self, kube: Kube, path: str, is_wanted: Callable[[Object], bool]) -> None:
        """Watch a collection for a state; nothing is asked for yet."""
        self._kube = kube
        self._path = path
        self._is_wanted = is_wanted
        self._waiting: dict[str, asyncio.Future[float]] = {}

    def expect(self, name: str) -> asyncio.Future[float]:
        """Return the moment of `time.monotonic` when the object is next seen in the state."""
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        return future

    async def follow(self) -> None:
        """Watch until cancelled; who waits is told when that fails."""
        try:
            async for moment, seen in self._kube.events(self._path):
                future = self._waiting.get(seen["metadata"]["name"])
                if future is not None and not future.done() and self._is_wanted(seen):
                    future.set_result(moment)
        except (BenchError, aiohttp.ClientError, ValueError) as error:
            problem = BenchError(f"watching {self._path}: {error!r}")
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(problem)


@asynccontextmanager
async def followed(kube: Kube, path: str, is_wanted: Callable[[Object], bool]) -> AsyncIterator[Sightings]:
    """Give what is seen of a collection while the block lasts."""
    sightings = Sightings(kube, path, is_wanted)
    task = asyncio.create_task(sightings.follow())
    try:
        yield sightings
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def asks_for_replicas(deployment: Object) -> bool:
    """Whether a Deployment is to run anything."""
    return int(deployment["spec"].get("replicas", 1)) > 0


def is_observed(jobqueue: Object) -> bool:
    """Whether the operator has read the queue of a JobQueue and has written so."""
    return bool((jobqueue.get("status") or {}).get("backlog"))
