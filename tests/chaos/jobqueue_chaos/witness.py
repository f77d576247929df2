"""The external service: answers each job by the job's own script and remembers every call."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from jobqueue_chaos.facts import Call
from jobqueue_chaos.mix import answer_of
from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_OK = 200


class Witness:
    """An HTTP server; an asynchronous context manager.

    Attributes:
        calls: every call, in order of its beginning.
        runs: which run of each job is on: the harness counts it up before it retries a job by hand.
        url: where jobs are posted.

    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.calls: list[Call] = []
        self.runs: dict[str, int] = defaultdict(int)
        self.url = ""
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def until(self, is_met: Callable[[], bool], seconds: float) -> None:
        """Return when the condition, asked after each call's beginning and end, holds.

        Raises:
            TimeoutError: it does not within that time.

        """
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(is_met)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked: dict[str, Any] = await request.json()
        job_id, attempt = asked["jobId"], asked["attempt"]
        run = self.runs[job_id]
        call = Call(job_id, attempt, run, request.headers.get("Idempotency-Key", ""), time.monotonic())
        self.calls.append(call)
        await self._tell()
        try:
            return await self._by_script(request, call, answer_of(asked["runs"], run, attempt))
        finally:
            call.ended = time.monotonic()
            await self._tell()

    async def _by_script(self, request: web.Request, call: Call, step: str) -> web.StreamResponse:
        what, _, number = step.partition(":")
        headers: dict[str, str] = {}
        if what == "429":
            headers["Retry-After"] = number
        elif number:
            await asyncio.sleep(float(number))
        if what == "hang":
            await asyncio.Event().wait()
        if what == "drop":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        code = _OK if what == "ok" else int(what)
        # The attempt is in the answer: what a job keeps as its result tells whose it is.
        answer = web.json_response({"attempt": call.attempt, "run": call.run}, status=code, headers=headers)
        call.code = code
        return answer

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_post("/jobs", self._answer)
        # A caller that is gone ends its call here, too.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/jobs"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
