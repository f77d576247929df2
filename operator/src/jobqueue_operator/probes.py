"""The operator's own small HTTP server: liveness, readiness and metrics."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from jobqueue_core.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jobqueue_core.telemetry.metrics import Metrics


@asynccontextmanager
async def probes(
    port: int, *, stuck: Callable[[], str | None], leading: Callable[[], bool], metrics: Metrics
) -> AsyncIterator[None]:
    """Serve the probes on all addresses while the context lasts; port 0: not at all.

    Args:
        port: To listen on.
        stuck: Tells which loop does not go on; None when all do.
        leading: Whether this operator is the one that acts; one that waits is ready as well.
        metrics: To show.
    """
    if port == 0:
        yield
        return

    async def healthz(_request: web.Request) -> web.Response:
        why = stuck()
        body = {"status": "ok" if why is None else "stuck", "detail": why}
        return web.json_response(body, status=200 if why is None else 503)

    async def readyz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "leading" if leading() else "standby"})

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", show_metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        # All addresses: a pod's probes and Prometheus come from outside of it.
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104
        yield
    finally:
        await runner.cleanup()
