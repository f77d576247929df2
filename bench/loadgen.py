"""Posts one request again and again over keep-alive connections, as cheaply as Python can.

    python -m bench.loadgen --port 8000 --path /addJob --connections 64 --seconds 5

Prints one JSON object. Runs as a process of its own, so that what it costs is not the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import uvloop

from bench.figures import summary

_OK = b"HTTP/1.1 200 "
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_ANSWER_SECONDS = 30.0


@dataclass(slots=True)
class Load:
    """What is asked of the server, and what came of it.

    Attributes:
        left: requests still to be sent; None while the time decides.
        ends_at: `perf_counter` seconds after which no request is sent.
        measured_from: answers that came earlier are counted, not measured (the server warms up).

    """

    request: bytes
    left: int | None
    ends_at: float
    measured_from: float
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    last_at: float = 0.0
    broken: int = 0

    def goes_on(self, now: float) -> bool:
        """Take the right to send one more request."""
        if self.left is not None:
            if self.left == 0:
                return False
            self.left -= 1
        return now < self.ends_at

    def answered(self, head: bytes, seconds: float, now: float) -> None:
        """Count an answer."""
        self.statuses["200" if head.startswith(_OK) else head[9:12].decode("latin-1")] += 1
        if now >= self.measured_from:
            self.latencies.append(seconds)
            self.last_at = now


class Connection(asyncio.Protocol):
    """One client: a request, its answer, the next request."""

    def __init__(self, load: Load, ended: asyncio.Future[None]) -> None:
        """Take part in a load; `ended` is set when this client has nothing more to do."""
        self._load = load
        self._ended = ended
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._next(time.perf_counter())

    def data_received(self, data: bytes) -> None:
        """Wait for the whole answer, note it, go on."""
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(_HEAD_END)
        if end < 0 or len(buffer) < end + 4 + _length(buffer, end):
            self._buffer = buffer
            return
        self._buffer = b""
        now = time.perf_counter()
        self._load.answered(buffer, now - self._sent_at, now)
        self._next(now)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the server has closed."""
        del exc
        if not self._ended.done():
            self._load.broken += 1
            self._ended.set_result(None)

    def _next(self, now: float) -> None:
        if self._load.goes_on(now):
            self._sent_at = now
            self._transport.write(self._load.request)
        else:
            self._ended.set_result(None)
            self._transport.close()


def _length(buffer: bytes, end: int) -> int:
    at = buffer.find(_LENGTH, 0, end)
    if at < 0:
        at = buffer[:end].lower().find(_LENGTH)
    if at < 0:
        return 0
    start = at + len(_LENGTH)
    stop = buffer.find(b"\r\n", start)
    return int(buffer[start : stop if 0 <= stop < end else end])


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Send the load and return what came of it."""
    body = arguments.body.encode()
    request = (
        f"POST {arguments.path} HTTP/1.1\r\nHost: {arguments.host}:{arguments.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    started = time.perf_counter()
    load = Load(
        request=request,
        left=arguments.requests,
        ends_at=started + arguments.seconds,
        measured_from=started + arguments.warm_up,
    )
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(arguments.connections)]
    for end in ends:
        await loop.create_connection(lambda end=end: Connection(load, end), arguments.host, arguments.port)  # type: ignore[misc]
    async with asyncio.timeout(arguments.seconds + _ANSWER_SECONDS):
        await asyncio.gather(*ends)
    measured = load.last_at - load.measured_from
    return {
        "accepted": load.statuses["200"],
        "statuses": dict(load.statuses),
        "broken_connections": load.broken,
        "seconds": time.perf_counter() - started,
        "per_second": len(load.latencies) / measured if load.latencies else 0.0,
        "latency_seconds": summary(load.latencies) if load.latencies else {},
        "histogram_ms": _histogram(load.latencies),
        "cpu_seconds": time.process_time(),
    }


def _histogram(latencies: list[float]) -> dict[str, int]:
    """Count by upper bounds in milliseconds, each twice the one before."""
    counts: Counter[int] = Counter()
    for seconds in latencies:
        bound = 1
        while seconds * 1000 > bound:
            bound *= 2
        counts[bound] += 1
    return {str(bound): counts[bound] for bound in sorted(counts)}


def main() -> None:
    """Run one load."""
    parser = argparse.ArgumentParser(prog="python -m bench.loadgen", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, required=True)
    add("--path", required=True)
    add("--body", default="{}")
    add("--connections", type=int, default=64)
    add("--requests", type=int, default=None, help="requests in all; unset: as many as the time allows")
    add("--seconds", type=float, default=60.0, help="no request is sent after this")
    add("--warm-up", type=float, default=0.0, help="answers within these seconds are not measured")
    result = uvloop.run(run(parser.parse_args()))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
