"""Stands between the processes and SQS: counts, repeats, loses, reorders, refuses."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from jobqueue_chaos.tcp_proxy import Mode
from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    import random
    from types import TracebackType
    from typing import Self

_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding", "content-encoding"})
_SLOW_SECONDS = 1.0
_JSON = "application/x-amz-json-1.0"
_FAILURE = {"__type": "com.amazonaws.sqs#InternalFailure", "message": "made up by the proxy"}


@dataclass(slots=True)
class Odds:
    """Shares of the requests that go wrong by themselves, all the time."""

    repeat: float = 0.0
    """Sends that are made twice: SQS promises at least once."""
    lose_answer: float = 0.0
    """Requests that are carried out and not answered."""
    refuse_entry: float = 0.0
    """Sends one of whose entries fails inside of an answer of 200."""
    refuse_letter: float = 0.0
    """The same of dead letters, so that the relay has some to send."""
    reorder: bool = False
    """Messages of a receive come in another order, but for FIFO queues."""


@dataclass(slots=True)
class Traffic:
    """What has passed."""

    sends: Counter[str] = field(default_factory=Counter)
    """Messages that SQS took, by job id; repetitions of the proxy's own not counted."""
    first_send: dict[str, float] = field(default_factory=dict)
    letters: Counter[str] = field(default_factory=Counter)
    strangers: set[str] = field(default_factory=set)
    """Jobs of which a worker said that they are not ours; the product sweeps such letters away."""
    buried: set[str] = field(default_factory=set)
    """Jobs of which a letter said that they had failed."""
    requests: int = 0
    repeated: int = 0
    lost_answers: int = 0
    refused_entries: int = 0
    reordered: int = 0


class SqsProxy:
    """A proxy that reads what it passes on; an asynchronous context manager.

    Attributes:
        mode: what happens to every request.
        odds: what happens to some.
        traffic: what has passed.

    """

    def __init__(self, endpoint: str, source: random.Random) -> None:
        """Pass on to an endpoint."""
        self.mode = Mode.OPEN
        self.odds = Odds()
        self.traffic = Traffic()
        self.url = ""
        self._endpoint = endpoint
        self._source = source
        self._changed = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    def set_mode(self, mode: Mode) -> None:
        """Begin or end a fault."""
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.traffic.requests += 1
        if await self._was_hung() or self.mode is Mode.REFUSING:
            return _broken(request)
        if self.mode is Mode.FAILING:
            return web.json_response(_FAILURE, status=500, content_type=_JSON)
        if self.mode is Mode.SLOW:
            await asyncio.sleep(_SLOW_SECONDS)
        try:
            return await self._pass_on(request, body)
        except (aiohttp.ClientError, OSError):
            return _broken(request)

    async def _was_hung(self) -> bool:
        """Wait while everything hangs; tell whether it did."""
        hung = self.mode is Mode.HUNG
        while self.mode is Mode.HUNG:
            await self._changed.wait()
        return hung

    async def _pass_on(self, request: web.Request, body: bytes) -> web.StreamResponse:
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        asked: dict[str, Any] = json.loads(body) if body else {}
        is_letter = "dead-letter" in asked.get("QueueUrl", "")
        refused: list[dict[str, Any]] = []
        if operation == "SendMessageBatch":
            refused = self._refused(asked, self.odds.refuse_letter if is_letter else self.odds.refuse_entry)
            body = json.dumps(asked).encode()
        status, headers, text = 200, {"Content-Type": _JSON}, b'{"Successful":[],"Failed":[]}'
        if operation != "SendMessageBatch" or asked["Entries"]:
            status, headers, text = await self._forward(request, body)
        answered: dict[str, Any] = json.loads(text) if text and status == 200 else {}
        if operation == "SendMessageBatch":
            self._count(asked, answered, is_letter=is_letter)
            answered["Failed"] = [*answered.get("Failed", []), *refused]
            text = json.dumps(answered).encode() if status == 200 else text
            if not is_letter and asked["Entries"] and self._source.random() < self.odds.repeat:
                self.traffic.repeated += len(asked["Entries"])
                await self._forward(request, body)
        elif operation == "ReceiveMessage" and self._reorders(asked, answered):
            text = json.dumps(answered).encode()
        if self._source.random() < self.odds.lose_answer:
            self.traffic.lost_answers += 1
            return _broken(request)
        return web.Response(status=status, headers=headers, body=text)

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._session is None:
            raise OSError("the proxy is closed")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = self._endpoint + str(request.rel_url)
        async with self._session.request(request.method, url, headers=headers, data=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            # The checksum of a changed body would not fit.
            kept.pop("x-amz-crc32", None)
            return answer.status, kept, await answer.read()

    def _refused(self, asked: dict[str, Any], share: float) -> list[dict[str, Any]]:
        """Take an entry out of a batch now and then; return what the answer says of it."""
        if not share or self._source.random() >= share:
            return []
        entry = asked["Entries"].pop(self._source.randrange(len(asked["Entries"])))
        self.traffic.refused_entries += 1
        return [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False, "Message": "made up"}]

    def _count(self, asked: dict[str, Any], answered: dict[str, Any], *, is_letter: bool) -> None:
        taken = {entry["Id"] for entry in answered.get("Successful", [])}
        counter = self.traffic.letters if is_letter else self.traffic.sends
        now = asyncio.get_running_loop().time()
        for entry in asked["Entries"]:
            if entry["Id"] in taken:
                job_id = job_of(entry["MessageBody"]) or ""
                counter[job_id] += 1
                reason = entry.get("MessageAttributes", {}).get("reason", {}).get("StringValue")
                if is_letter:
                    (self.traffic.strangers if reason == "unreadable" else self.traffic.buried).add(job_id)
                self.traffic.first_send.setdefault(job_id, now)

    def _reorders(self, asked: dict[str, Any], answered: dict[str, Any]) -> bool:
        messages = answered.get("Messages", [])
        if not self.odds.reorder or len(messages) < 2 or asked["QueueUrl"].endswith(".fifo"):
            return False
        self._source.shuffle(messages)
        self.traffic.reordered += 1
        return True

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(60), auto_decompress=True
        )
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self.set_mode(Mode.OPEN)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()


def job_of(body: str) -> str | None:
    """Return the job that a message names; None where it names none."""
    try:
        job_id = json.loads(body)["jobId"]
    except (ValueError, KeyError, TypeError):
        return None
    return job_id if isinstance(job_id, str) else None


def _broken(request: web.Request) -> web.Response:
    """Break the connection in place of an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
