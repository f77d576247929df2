"""Stands between the processes and MongoDB: hangs, refuses, slows down, loses answers."""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING

from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    import random
    from types import TracebackType
    from typing import Self

_CHUNK = 65_536
_SLOW_SECONDS = 0.15


class Mode(StrEnum):
    """What a proxy does with what it gets."""

    OPEN = "open"
    HUNG = "hung"
    """Takes connections and bytes, and answers nothing."""
    REFUSING = "refusing"
    SLOW = "slow"
    FAILING = "failing"
    """Answers 500; a proxy of bytes knows no such thing and refuses."""


class TcpProxy:
    """A proxy of bytes; an asynchronous context manager.

    Attributes:
        mode: what happens to every connection, those that are open included.
        lose_answers: share of the answers in place of which the connection breaks.
        lost_answers: how many did.
        connections: taken so far.

    """

    def __init__(self, target_port: int, source: random.Random) -> None:
        """Pass on to a port of this machine."""
        self.mode = Mode.OPEN
        self.lose_answers = 0.0
        self.lost_answers = 0
        self.connections = 0
        self.port = 0
        self._target_port = target_port
        self._source = source
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    def set_mode(self, mode: Mode) -> None:
        """Begin or end a fault. What hung is cut off when it ends, as after a partition."""
        was, self.mode = self.mode, mode
        if mode in (Mode.REFUSING, Mode.FAILING) or was is Mode.HUNG:
            self.cut()
        self._changed.set()
        self._changed = asyncio.Event()

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self.mode in (Mode.REFUSING, Mode.FAILING):
                return
            await self._while_hung()
            answers, upstream = await asyncio.open_connection(HOST, self._target_port)
            self._writers.add(upstream)
            pumps = {
                asyncio.create_task(self._pump(reader, upstream, may_lose=False)),
                asyncio.create_task(self._pump(answers, writer, may_lose=True)),
            }
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass
        finally:
            for one in (writer, upstream):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_lose: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._while_hung()
                if self.mode is Mode.SLOW:
                    await asyncio.sleep(_SLOW_SECONDS)
                if may_lose and self.lose_answers and self._source.random() < self.lose_answers:
                    self.lost_answers += 1
                    return
                writer.write(chunk)
                await writer.drain()

    async def _while_hung(self) -> None:
        while self.mode is Mode.HUNG:
            await self._changed.wait()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and break what is open."""
        if self._server is not None:
            self._server.close()
        self.set_mode(Mode.REFUSING)
        await asyncio.gather(*self._tasks, return_exceptions=True)
