"""A write whose answer is lost with the connection is known for what it is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin, note_sent
from jobqueue_core.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_testsupport.factories import JobFactory


class LossyProxy:
    """Hands bytes on; breaks the connection in place of the answer to the next update, if told to."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.lose_next_answer = False
        self.lost = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        losing = False

        async def upwards() -> None:
            nonlocal losing
            while data := await reader.read(1 << 20):
                # The name of the command in an OP_MSG: the first element of its body.
                if self.lose_next_answer and b"\x02update\x00" in data:
                    self.lose_next_answer, losing = False, True
                upstream_writer.write(data)
                await upstream_writer.drain()

        async def downwards() -> None:
            while data := await upstream_reader.read(1 << 20):
                if losing:
                    self.lost += 1
                    return
                writer.write(data)
                await writer.drain()

        tasks = {asyncio.create_task(upwards()), asyncio.create_task(downwards())}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in (upstream_writer, writer):
            each.close()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]


async def test_a_lost_answer_is_found_out(
    embedded_mongo_uri: str, mongo_database: str, job_factory: JobFactory
) -> None:
    target = urlsplit(embedded_mongo_uri)
    proxy = LossyProxy(target.hostname or "", target.port or 27017)
    async with proxy.serve() as port:
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true&retryWrites=false"
        store = MongoJobStore(open_driver("pymongo", uri, mongo_database), guard_index=True)
        try:
            await store.prepare()
            jobs = job_factory.many(5)
            await store.insert(jobs)
            claims = [
                begin(job, owner="w", token="ours", expires_at=later(START, 60), now=START) for job in jobs
            ]

            proxy.lose_next_answer = True
            assert await store.apply(claims) == [True] * 5
            assert proxy.lost == 1
            stored = await store.get_many([job.id for job in jobs])
            assert stored == {claim.after.id: claim.after for claim in claims}

            more = job_factory.many(5)
            await store.insert(more)
            proxy.lose_next_answer = True
            await store.offer([note_sent(job, later(START, 1)) for job in more])
            assert proxy.lost == 2
            noted = await store.get_many([job.id for job in more])
            assert {job.sent_at for job in noted.values()} == {later(START, 1)}
        finally:
            await store.close()
