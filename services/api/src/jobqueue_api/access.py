"""The access log: one line a request, cheap enough to be written for every one."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

import structlog

if TYPE_CHECKING:
    from jobqueue_core.settings.service_sections import LoggingSettings

_PATH_MAX = 200
_LEVELS_WITH_INFO = frozenset({"debug", "info"})


class AccessLog(Protocol):
    """Is told of every answered request."""

    def write(
        self, *, method: str, path: str, route: str, status: int, seconds: float, request_id: str, client: str
    ) -> None:
        """Note a request; `client` is the name of the API key, or empty."""
        ...


class NoAccessLog:
    """Writes nothing (a log level above info)."""

    def write(
        self, *, method: str, path: str, route: str, status: int, seconds: float, request_id: str, client: str
    ) -> None:
        """Do nothing."""


class JsonAccessLog:
    """Composes lines of the same form as every other JSON line of the process, by hand.

    The lines of one turn of the event loop go out in one write.
    """

    def __init__(self, stream: TextIO, component: str = "api") -> None:
        """Write to a text stream."""
        self._stream = stream
        self._tail = f',"level":"info","component":{quoted(component)}}}\n'
        self._lines: list[str] = []

    def write(
        self, *, method: str, path: str, route: str, status: int, seconds: float, request_id: str, client: str
    ) -> None:
        """Note a request."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        time = datetime.now(UTC).isoformat().removesuffix("+00:00")
        self._lines.append(
            f'{{"event":"request","method":{quoted(method)},"path":{quoted(path[:_PATH_MAX])},'
            f'"route":{quoted(route)},"status":{status},"seconds":{seconds:.6f},'
            f'"request_id":{quoted(request_id)},"client":{quoted(client)},"time":"{time}Z"{self._tail}'
        )

    def flush(self) -> None:
        """Write what has gathered."""
        text = "".join(self._lines)
        self._lines.clear()
        self._stream.write(text)
        self._stream.flush()


class ConsoleAccessLog:
    """Goes through structlog, for people at a terminal."""

    def __init__(self) -> None:
        """Use the logger of this module."""
        self._log = structlog.get_logger(__name__)

    def write(
        self, *, method: str, path: str, route: str, status: int, seconds: float, request_id: str, client: str
    ) -> None:
        """Note a request."""
        del route
        who = {"client": client} if client else {}
        self._log.info(
            "request",
            method=method,
            path=path[:_PATH_MAX],
            status=status,
            seconds=round(seconds, 6),
            request_id=request_id,
            **who,
        )


def access_log(logging: LoggingSettings) -> AccessLog:
    """Return the access log that the settings ask for."""
    if logging.level not in _LEVELS_WITH_INFO:
        return NoAccessLog()
    output: Literal["json", "console"] = logging.format
    return JsonAccessLog(sys.stderr) if output == "json" else ConsoleAccessLog()
