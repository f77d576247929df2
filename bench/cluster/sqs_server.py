"""A queue server that counts: `python -m bench.cluster.sqs_server PORT`.

It speaks as much of SQS's JSON protocol as the operator uses, takes a fraction of the CPU time of a whole
SQS, and notes when each queue is read: a witness of the polls other than the operator's own metrics.
Messages are counted, not kept.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable

Body = dict[str, Any]

_HOST = "127.0.0.1"
_ACCOUNT = "000000000000"
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_DEFAULTS = {
    "DelaySeconds": "0",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "VisibilityTimeout": "30",
}
_VISIBLE, _READ = _COUNTS[0], _COUNTS[2]


class UnknownQueueError(Exception):
    """There is no such queue."""


@dataclass(slots=True)
class Queue:
    """One queue; `reads` are moments of `time.monotonic` at which all its counts were asked for."""

    url: str
    attributes: dict[str, str]
    tags: dict[str, str]
    visible: int = 0
    reads: list[float] = field(default_factory=list)


class Queues:
    """All queues, and what can be asked of them."""

    def __init__(self, port: int) -> None:
        """Start with none."""
        self._root = f"http://{_HOST}:{port}/{_ACCOUNT}"
        self._queues: dict[str, Queue] = {}
        self._operations: dict[str, Callable[[Body], Body]] = {
            "GetQueueUrl": lambda asked: {"QueueUrl": self._named(asked["QueueName"]).url},
            "GetQueueAttributes": self._read,
            "CreateQueue": self._create,
            "SetQueueAttributes": self._set,
            "TagQueue": self._tag,
            "ListQueueTags": lambda asked: {"Tags": self._at(asked).tags},
            "SendMessage": self._send,
        }

    def polls(self) -> dict[str, list[float]]:
        """Return when each queue was read."""
        return {name: queue.reads for name, queue in self._queues.items()}

    def answer(self, operation: str, asked: Body) -> Body:
        """Do one operation.

        Raises:
            UnknownQueueError: there is no such queue.
            KeyError: there is no such operation.

        """
        return self._operations[operation](asked)

    def _named(self, name: str) -> Queue:
        try:
            return self._queues[name]
        except KeyError as error:
            raise UnknownQueueError(name) from error

    def _at(self, asked: Body) -> Queue:
        return self._named(asked["QueueUrl"].rpartition("/")[2])

    def _read(self, asked: Body) -> Body:
        queue = self._at(asked)
        names = asked["AttributeNames"]
        known = {**dict.fromkeys(_COUNTS, "0"), **queue.attributes, _VISIBLE: str(queue.visible)}
        if _READ in names:
            queue.reads.append(time.monotonic())
        return {"Attributes": {name: known[name] for name in names if name in known}}

    def _create(self, asked: Body) -> Body:
        name = asked["QueueName"]
        queue = self._queues.get(name)
        if queue is None:
            arn = {"QueueArn": f"arn:aws:sqs:us-east-1:{_ACCOUNT}:{name}"}
            attributes = {**_DEFAULTS, **asked.get("Attributes", {}), **arn}
            queue = self._queues[name] = Queue(f"{self._root}/{name}", attributes, asked.get("tags", {}))
        return {"QueueUrl": queue.url}

    def _set(self, asked: Body) -> Body:
        self._at(asked).attributes.update(asked["Attributes"])
        return {}

    def _tag(self, asked: Body) -> Body:
        self._at(asked).tags.update(asked["Tags"])
        return {}

    def _send(self, asked: Body) -> Body:
        self._at(asked).visible += 1
        return {"MessageId": "0", "MD5OfMessageBody": ""}


class Connection(asyncio.Protocol):
    """One client's connection: HTTP/1.1, bodies of a known length."""

    def __init__(self, queues: Queues) -> None:
        """Answer for these queues."""
        self._queues = queues
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is there as a whole."""
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            request, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            if request.startswith("GET "):
                self._reply(200, self._queues.polls())
            else:
                self._operate(headers.get("x-amz-target", "").rpartition(".")[2], json.loads(body))

    def _operate(self, operation: str, asked: Body) -> None:
        try:
            answer = self._queues.answer(operation, asked)
        except UnknownQueueError as error:
            kind, code = "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"
            fault = {"__type": f"com.amazonaws.sqs#{kind}", "message": f"no queue {error}"}
            self._reply(400, fault, f"x-amzn-query-error: {code};Sender\r\n")
        except KeyError as error:
            fault = {"__type": "com.amazonaws.sqs#InvalidAction", "message": f"{operation}: {error}"}
            self._reply(400, fault)
        else:
            self._reply(200, answer)

    def _reply(self, status: int, content: object, header: str = "") -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\n{header}"
        self._transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def _serve(port: int) -> None:
    queues = Queues(port)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(queues), _HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
