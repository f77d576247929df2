"""The process `jobqueue-api`: configured by files and the environment, ended by a signal."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
import uvicorn
import uvloop

from jobqueue_api.bootstrap import opened
from jobqueue_core.adapters.secrets_manager import SecretsManagerReader
from jobqueue_core.settings.load import load_or_exit
from jobqueue_core.telemetry.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from jobqueue_core.settings.model import Settings

# Longer than the idle time-outs of the usual proxies (60 s): it is they who close a connection.
_KEEP_ALIVE_SECONDS = 75
# For requests under way when the process is told to end; a database call gives up well before.
_GRACE_SECONDS = 15
_BACKLOG = 2048
# Requests under way hold thousands of objects that are freed without the collector.
_GC_ALLOCATIONS = 10_000

_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """A server that leaves signals to this process and says when it listens."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: uvicorn would raise them again before what waits has been sent."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say where."""
        await super().startup(sockets)
        # What has been loaded stays: looking through it again and again took a sixth of the time under load.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_ALLOCATIONS, 20, 50)
        for listener in sockets or []:
            _log.info("ready", url=_url(listener))


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises:
        OSError: the address is taken, or none of this machine's.

    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


def server_of(app: ASGIApp) -> uvicorn.Server:
    """Return a server for an application."""
    return _Server(
        uvicorn.Config(
            app,
            loop="none",  # it is running already
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way and send what waits."""
    async with opened(settings) as app:
        server = server_of(app)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        await server.serve([listener])
    _log.info("stopped")


def main() -> None:
    """Run the API.

    Raises:
        SystemExit: code 2 for settings that cannot be used, 1 for an address that cannot be listened on.

    """
    settings = load_or_exit(secrets=SecretsManagerReader())
    configure_logging(settings.logging.level, settings.logging.format, "api")
    try:
        listener = listen(settings.api.host, settings.api.port)
    except OSError as error:
        _log.error("cannot listen", host=settings.api.host, port=settings.api.port, error=str(error))
        raise SystemExit(1) from None
    uvloop.run(serve(settings, listener))


if __name__ == "__main__":
    main()
