"""The proxies: each fault is one, and without a fault they change nothing."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from jobqueue_chaos.sqs_proxy import Odds, SqsProxy
from jobqueue_chaos.tcp_proxy import Mode, TcpProxy
from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = '{"v":1,"jobId":"j1"}'
SEND = {"QueueUrl": "http://sqs/1/chaos", "Entries": [{"Id": "0", "MessageBody": BODY}]}


@asynccontextmanager
async def echo() -> AsyncIterator[TcpProxy]:
    """A proxy before a server that sends back what it gets."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server, TcpProxy(server.sockets[0].getsockname()[1], random.Random(1)) as proxy:
        yield proxy


async def said(proxy: TcpProxy, seconds: float = 5.0) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    try:
        async with asyncio.timeout(seconds):
            writer.write(b"hello")
            return await reader.read(1000)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_bytes_pass_and_are_counted() -> None:
    async with echo() as proxy:
        assert await said(proxy) == b"hello"
        assert proxy.connections == 1


async def test_refusing_closes_new_and_old_connections() -> None:
    async with echo() as proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"hello")
        assert await reader.read(1000) == b"hello"
        proxy.set_mode(Mode.REFUSING)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.transport.abort()
        assert await said(proxy) == b""
        proxy.set_mode(Mode.OPEN)
        assert await said(proxy) == b"hello"


async def test_hung_answers_nothing() -> None:
    async with echo() as proxy:
        proxy.set_mode(Mode.HUNG)
        with pytest.raises(TimeoutError):
            await said(proxy, 0.2)
        proxy.set_mode(Mode.OPEN)
        assert await said(proxy) == b"hello"


async def test_a_lost_answer_breaks_the_connection() -> None:
    async with echo() as proxy:
        proxy.lose_answers = 1.0
        assert await said(proxy) == b""
        assert proxy.lost_answers == 1


class Sqs:
    """Takes every request, and answers as SQS does."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.taken.append(asked)
        if "Entries" in asked:
            return web.json_response({"Successful": [{"Id": one["Id"]} for one in asked["Entries"]]})
        return web.json_response({"Messages": [{"MessageId": str(n)} for n in range(10)]})


@asynccontextmanager
async def sqs() -> AsyncIterator[tuple[Sqs, SqsProxy]]:
    server = Sqs()
    app = web.Application()
    app.router.add_post("/", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    host, port = runner.addresses[0][:2]
    async with SqsProxy(f"http://{host}:{port}", random.Random(1)) as proxy:
        yield server, proxy
    await runner.cleanup()


async def call(proxy: SqsProxy, operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    headers = {"X-Amz-Target": f"AmazonSQS.{operation}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(proxy.url + "/", json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_sends_are_counted_by_job() -> None:
    async with sqs() as (server, proxy):
        status, answer = await call(proxy, "SendMessageBatch", SEND)
        assert (status, answer["Successful"]) == (200, [{"Id": "0"}])
        await call(proxy, "SendMessageBatch", {**SEND, "QueueUrl": "http://sqs/1/chaos-dead-letter"})
        assert proxy.traffic.sends == {"j1": 1}
        assert proxy.traffic.letters == {"j1": 1}
        assert len(server.taken) == 2


async def test_a_repeated_send_reaches_the_queue_twice() -> None:
    async with sqs() as (server, proxy):
        proxy.odds = Odds(repeat=1.0)
        await call(proxy, "SendMessageBatch", SEND)
        assert len(server.taken) == 2
        assert proxy.traffic.sends == {"j1": 1}


async def test_a_refused_entry_never_reaches_the_queue() -> None:
    async with sqs() as (server, proxy):
        proxy.odds = Odds(refuse_entry=1.0)
        status, answer = await call(proxy, "SendMessageBatch", SEND)
        assert status == 200
        assert [one["Id"] for one in answer["Failed"]] == ["0"]
        assert server.taken == []
        assert proxy.traffic.sends == {}


async def test_a_lost_answer_comes_after_the_work() -> None:
    async with sqs() as (server, proxy):
        proxy.odds = Odds(lose_answer=1.0)
        with pytest.raises(aiohttp.ClientError):
            await call(proxy, "SendMessageBatch", SEND)
        assert len(server.taken) == 1


@pytest.mark.parametrize(("queue", "is_sorted"), [("chaos", False), ("orders.fifo", True)])
async def test_messages_are_put_in_another_order_unless_order_is_promised(
    queue: str,
    is_sorted: bool,  # noqa: FBT001 - a parameter
) -> None:
    async with sqs() as (_, proxy):
        proxy.odds = Odds(reorder=True)
        _, answer = await call(proxy, "ReceiveMessage", {"QueueUrl": f"http://sqs/1/{queue}"})
        ids = [int(message["MessageId"]) for message in answer["Messages"]]
        assert sorted(ids) == list(range(10))
        assert (ids == sorted(ids)) == is_sorted


async def test_failing_and_refusing() -> None:
    async with sqs() as (server, proxy):
        proxy.set_mode(Mode.FAILING)
        assert (await call(proxy, "SendMessageBatch", SEND))[0] == 500
        proxy.set_mode(Mode.REFUSING)
        with pytest.raises(aiohttp.ClientError):
            await call(proxy, "SendMessageBatch", SEND)
        assert server.taken == []
