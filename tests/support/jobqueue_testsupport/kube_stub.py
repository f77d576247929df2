"""An API server that a test plays itself: no real one expires a version or cuts a watch on demand."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web
from kubernetes.client import Configuration

from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

Object = dict[str, Any]

_WAIT_SECONDS = 20.0


def thing(name: str, version: int) -> Object:
    """Return an object with nothing but its metadata."""
    return {"metadata": {"namespace": "team", "name": name, "resourceVersion": str(version)}}


class Watch:
    """One watch that a client has opened."""

    def __init__(self, query: dict[str, str], response: web.StreamResponse) -> None:
        self.query = query
        self.closed = asyncio.Event()
        self._response = response
        self._over = asyncio.Event()

    async def send(self, kind: str, content: Object) -> None:
        """Send an event."""
        await self.write(json.dumps({"type": kind, "object": content}) + "\n")

    async def write(self, text: str) -> None:
        """Send a text as it is."""
        await self._response.write(text.encode())

    def end(self) -> None:
        """End as a server does when the time is over."""
        self._over.set()

    def cut(self) -> None:
        """Break off the connection."""
        transport = self._response._req.transport if self._response._req else None  # noqa: SLF001 - no other way
        if transport is not None:
            transport.abort()

    async def until_over(self) -> None:
        """Wait until one side ends it."""
        try:
            await self._over.wait()
        finally:
            self.closed.set()


class KubeStub:
    """One collection; an asynchronous context manager.

    Attributes:
        items: what a listing gives.
        version: its `resourceVersion`.
        refusals: HTTP codes of the next answers, by verb (`list`, `watch`, `patch`).
        calls: verbs, in order.
        patches: path, content type and body of each patch.
        connections: peers that have called.

    """

    def __init__(self) -> None:
        self.items: list[Object] = []
        self.version = 1
        self.refusals: dict[str, list[int]] = {}
        self.calls: list[str] = []
        self.patches: list[tuple[str, str, Object]] = []
        self.connections: set[object] = set()
        self._watches: asyncio.Queue[Watch] = asyncio.Queue()
        self._open: list[Watch] = []
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        app.router.add_patch("/{path:.*}", self._patch)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening, and cut every watch."""
        for watch in self._open:
            watch.cut()
        self._open.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def configuration(self) -> Configuration:
        """Return how a client reaches it."""
        return Configuration(host=f"http://{HOST}:{self._port}")

    async def watch(self) -> Watch:
        """Return the next watch that is opened; bounded."""
        async with asyncio.timeout(_WAIT_SECONDS):
            return await self._watches.get()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        is_watch = request.query.get("watch") == "true"
        refusal = self._called(request, "watch" if is_watch else "list")
        if refusal is not None:
            return refusal
        if not is_watch:
            metadata = {"resourceVersion": str(self.version)}
            return web.json_response({"kind": "List", "metadata": metadata, "items": self.items})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        opened = Watch(dict(request.query), response)
        self._open.append(opened)
        self._watches.put_nowait(opened)
        await opened.until_over()
        await response.write_eof()
        return response

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        refusal = self._called(request, "patch")
        if refusal is not None:
            return refusal
        body = json.loads(await request.read())
        self.patches.append((request.path, request.content_type, body))
        return web.json_response(thing("patched", self.version))

    def _called(self, request: web.Request, verb: str) -> web.Response | None:
        self.calls.append(verb)
        self.connections.add(request.transport.get_extra_info("peername") if request.transport else None)
        waiting = self.refusals.get(verb)
        if not waiting:
            return None
        code = waiting.pop(0)
        status = {"kind": "Status", "message": "refused by the test", "reason": f"Reason{code}", "code": code}
        return web.json_response(status, status=code)
