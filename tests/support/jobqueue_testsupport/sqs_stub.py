"""An SQS endpoint that answers what a test wants: no server for tests ever refuses a single entry."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from jobqueue_testsupport.server import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

Answer = dict[str, Any]
_TYPE = "application/x-amz-json-1.0"


class SqsStub:
    """Speaks the JSON protocol; an asynchronous context manager.

    Attributes:
        refused: bodies, receipts or ids of entries that are answered as failed, the call itself succeeding.
        broken: operations that are answered 500 as a whole, by the number of the call (from 1).
        errors: operations that are always refused as a whole, with the status and the code.
        calls: operation and entries of each call.
        asked: operation and whole request of each call.
        under_way: calls being answered now.
        most_under_way: the most at once so far.

    """

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.broken: dict[str, set[int]] = {}
        self.errors: dict[str, tuple[int, str]] = {}
        self.calls: list[tuple[str, list[Answer]]] = []
        self.asked: list[tuple[str, Answer]] = []
        self.under_way = 0
        self.most_under_way = 0
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
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
        if self._runner is not None:
            await self._runner.cleanup()

    def count(self, operation: str) -> int:
        """Return how often an operation was called."""
        return sum(name == operation for name, _ in self.calls)

    async def _answer(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        asked: Answer = json.loads(await request.read())
        entries: list[Answer] = asked.get("Entries", [])
        self.calls.append((operation, entries))
        self.asked.append((operation, asked))
        number = self.count(operation)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        # Lets every other call that is on its way arrive.
        for _ in range(50):
            await asyncio.sleep(0)
        self.under_way -= 1
        if operation == "GetQueueUrl":
            return web.json_response(
                {"QueueUrl": f"{self.url}/queue/{asked['QueueName']}"}, content_type=_TYPE
            )
        if number in self.broken.get(operation, ()):
            error = {"__type": "com.amazonaws.sqs#InvalidSecurity", "message": "made to fail"}
            return web.json_response(error, status=403, content_type=_TYPE)
        if operation in self.errors:
            status, code = self.errors[operation]
            error = {"__type": f"com.amazonaws.sqs#{code}", "message": "made to fail"}
            return web.json_response(error, status=status, content_type=_TYPE)
        if operation in _SINGLE:
            return web.json_response(_SINGLE[operation](asked), content_type=_TYPE)
        failed = [entry for entry in entries if self.refused.intersection(map(str, entry.values()))]
        return web.json_response(
            {
                "Successful": [_success(entry) for entry in entries if entry not in failed],
                "Failed": [
                    {
                        "Id": entry["Id"],
                        "Code": "InternalError",
                        "Message": "made to fail",
                        "SenderFault": False,
                    }
                    for entry in failed
                ],
            },
            content_type=_TYPE,
        )


def _attributes(asked: Answer) -> Answer:
    name = asked["QueueUrl"].rpartition("/")[2]
    every = {"QueueArn": f"arn:aws:sqs:eu-central-1:000000000000:{name}"}
    return {"Attributes": {each: every[each] for each in asked["AttributeNames"] if each in every}}


_SINGLE: dict[str, Callable[[Answer], Answer]] = {
    "GetQueueAttributes": _attributes,
    "ListMessageMoveTasks": lambda _: {"Results": []},
    "StartMessageMoveTask": lambda _: {"TaskHandle": "task"},
}


def _success(entry: Answer) -> Answer:
    return {"Id": entry["Id"], "MessageId": f"message-{entry['Id']}", "MD5OfMessageBody": ""}
