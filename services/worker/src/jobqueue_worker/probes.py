"""The worker's own small HTTP server: liveness, readiness and metrics."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from jobqueue_core.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jobqueue_core.telemetry.metrics import Metrics


def probe_app(is_alive: Callable[[], bool], metrics: Metrics) -> web.Application:
    """Return an application with `/healthz` and `/metrics`."""

    async def healthz(_request: web.Request) -> web.Response:
        alive = is_alive()
        return web.json_response({"status": "ok" if alive else "stuck"}, status=200 if alive else 503)

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", show_metrics)
    return app


@asynccontextmanager
async def probes(port: int, is_alive: Callable[[], bool], metrics: Metrics) -> AsyncIterator[None]:
    """Serve the probes on all addresses while the context lasts; port 0: not at all."""
    if port == 0:
        yield
        return
    runner = web.AppRunner(probe_app(is_alive, metrics), access_log=None)
    await runner.setup()
    try:
        # All addresses: a pod's probes and Prometheus come from outside of it.
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104
        yield
    finally:
        await runner.cleanup()
