"""A gate before an SQS server that refuses credentials when it is told to: no server for tests does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding"})
_REFUSAL = {
    "__type": "com.amazon.coral.service#AccessDeniedException",
    "message": "User: arn:aws:iam::000000000000:user/test is not authorized to perform this operation",
}


class SqsGate:
    """Passes requests on; an asynchronous context manager.

    Attributes:
        refuses: Whether every request is answered with AWS's AccessDenied.
        refused: How many were.
    """

    def __init__(self, endpoint: str) -> None:
        self.refuses = False
        self.refused = 0
        self.url = ""
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        if self.refuses:
            self.refused += 1
            return web.json_response(_REFUSAL, status=403, content_type="application/x-amz-json-1.0")
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self._session.request(
            request.method,
            self._endpoint + str(request.rel_url),
            headers=headers,
            data=await request.read(),
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())
