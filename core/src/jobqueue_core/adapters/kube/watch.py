"""Following a collection of the API server: everything once, then each change, whatever breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import structlog
from urllib3.exceptions import HTTPError

from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_core.ports.cluster import Changed, Gone, Listed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from urllib3 import HTTPResponse

    from jobqueue_core.adapters.kube.client import KubeClient, Object
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.cluster import Sight

Answer = TypeVar("Answer")

# The server ends a watch after this, and it is opened anew: a connection can die without a word, and the
# bookmarks of the API server come about once a minute only.
_WATCH_SECONDS = 60
_SILENCE_SECONDS = _WATCH_SECONDS + 10.0
# A watch that ends sooner without having said anything has failed, whatever it looks like.
_SHORT_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 5.0
_GONE = 410

_log = structlog.get_logger(__name__)


class KubeWatch:
    """Follows one collection for ever; an outage is waited out, and what was missed is made good."""

    def __init__(self, client: KubeClient, path: str, clock: Clock) -> None:
        """Follow the collection at a path, for instance `/api/v1/namespaces/default/pods`."""
        self._client = client
        self._path = path
        self._clock = clock
        self._version: str | None = None
        self._failures = 0
        self._trouble: tuple[int, str] | None = None

    async def sights(self) -> AsyncGenerator[Sight, None]:
        """Give everything there is, then each change; never ends by itself.

        To be closed (`contextlib.aclosing`), which ends its connection and its thread.
        """
        while True:
            began = self._clock.monotonic()
            try:
                if self._version is None:
                    listing = await self._client.listing(self._path)
                    self._version = _version_of(listing)
                    yield Listed(tuple(listing.get("items") or ()))
                async with contextlib.aclosing(self._changes()) as changes:
                    async for sight in changes:
                        yield sight
            except KubeError as error:
                self._fail(error)
            else:
                if self._clock.monotonic() - began >= _SHORT_SECONDS:
                    self._succeed()
                else:
                    self._failures += 1
            if self._failures:
                await self._clock.sleep(_pause_seconds(self._failures))

    async def _changes(self) -> AsyncGenerator[Sight, None]:
        """Give what one connection tells, until it ends.

        Raises:
            KubeError: it was refused, or broke off.
        """
        query = {
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        stream = _Stream()
        try:
            await stream.open(
                lambda: self._client.open_watch(self._path, silence_seconds=_SILENCE_SECONDS, **query)
            )
            while (events := await stream.read()) is not None:
                for event in events:
                    sight = self._sight(event)
                    self._succeed()
                    if sight is not None:
                        yield sight
        finally:
            stream.close()

    def _sight(self, event: Object) -> Sight | None:
        """Return what an event says, None for a bookmark; note up to where it tells everything.

        Raises:
            KubeError: it says that the watch is over.
        """
        kind, content = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            message = f"the API server ended the watch of {self._path}: {content.get('message')}"
            raise KubeError(
                message, status=int(content.get("code", 0)), reason=str(content.get("reason", ""))
            )
        self._version = _version_of(content)
        if kind == "BOOKMARK":
            return None
        return Gone(content) if kind == "DELETED" else Changed(content)

    def _succeed(self) -> None:
        self._failures = 0
        if self._trouble is not None:
            self._trouble = None
            _log.info("the API server is followed again", path=self._path)

    def _fail(self, error: KubeError) -> None:
        self._failures += 1
        if error.status == _GONE:
            # What happened since is forgotten: usual after an outage, and no fault.
            self._version = None
            return
        trouble = (error.status, error.reason)
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning("the API server cannot be followed", path=self._path, error=str(error))


class _Stream:
    """The events of one watch, read in a thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="kube-watch")
        self._response: HTTPResponse | None = None
        self._rest = b""

    async def open(self, connect: Callable[[], HTTPResponse]) -> None:
        """Connect.

        Raises:
            KubeError: what `connect` raises.
        """
        await self._in_thread(lambda: self._connect(connect))

    async def read(self) -> list[Object] | None:
        """Return the next events, at least one; None at the end.

        Raises:
            KubeError: the connection broke off.
        """
        return await self._in_thread(self._read)

    def close(self) -> None:
        """End the connection, and by that the thread."""
        if self._response is not None:
            _interrupt(self._response)
        # Behind whatever the thread is doing, be it that it is still connecting.
        self._pool.submit(self._disconnect)
        self._pool.shutdown(wait=False)

    async def _in_thread(self, call: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _connect(self, connect: Callable[[], HTTPResponse]) -> None:
        self._response = connect()

    def _disconnect(self) -> None:
        if self._response is not None:
            self._response.close()

    def _read(self) -> list[Object] | None:
        response = self._response
        if response is None:
            message = "the watch is not open"
            raise RuntimeError(message)
        try:
            while True:
                text = response.read1()
                *lines, self._rest = (self._rest + text).split(b"\n")
                events = [json.loads(line) for line in lines if line.strip()]
                if events:
                    return events
                if not text:
                    return None
        except (HTTPError, OSError, ValueError) as error:
            message = f"the watch broke off: {error}"
            raise KubeError(message[:500], status=0) from error


def _interrupt(response: HTTPResponse) -> None:
    """Wake a thread that waits for the rest of a response: it reads the end."""
    # Raised where the response has ended by itself.
    with contextlib.suppress(ValueError, RuntimeError, OSError):
        response.shutdown()


def _version_of(content: Object) -> str | None:
    version = (content.get("metadata") or {}).get("resourceVersion")
    return None if version is None else str(version)


def _pause_seconds(failures: int) -> float:
    """Return how long to wait after that many failures in a row; never in step with other processes."""
    bound: float = min(_LAST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 16))
    return bound * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
