"""The SQS client: one connection pool a process, counted calls, the product's own errors."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol, TypeVar

from aiobotocore.config import AioConfig
from aiohttp import ClientError as HttpClientError
from botocore.exceptions import BotoCoreError, ClientError

from jobqueue_core.adapters.aws import aws_session
from jobqueue_core.build import build_version
from jobqueue_core.domain.errors import QueueUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType
    from typing import Self

    from types_aiobotocore_sqs import SQSClient

# The longest long poll (SQS: WaitTimeSeconds is at most 20) and room for the answer to travel.
_READ_TIMEOUT_SECONDS = 25
_CONNECT_TIMEOUT_SECONDS = 3
# Any other call answers at once or not at all.
_CALL_TIMEOUT_SECONDS = 10.0

Answer = TypeVar("Answer")


class RequestObserver(Protocol):
    """Is told of every request, so that their number and cost can be watched."""

    def sqs_request(self, operation: str, outcome: str) -> None:
        """Count one request: the operation in snake case; `ok`, `error` or `timeout`."""
        ...


class SqsConnection:
    """An open client, to be used as an asynchronous context manager.

    Region, credentials and endpoint come from AWS's own variables and files. Calls are tried
    twice at the most: what fails is left to the product's own retries, which lose nothing.
    """

    def __init__(self, observer: RequestObserver, *, max_connections: int = 50) -> None:
        """Take who counts the requests."""
        self._observer = observer
        self._config = AioConfig(
            max_pool_connections=max_connections,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            read_timeout=_READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 2},
            tcp_keepalive=True,
            # botocore's own, which lists all features in use, is put together twice a request: an
            # eighth of its cost.
            user_agent=f"jobqueue/{build_version()}",
            # Entries are checked where they are made; checking them again costs a tenth of a call.
            parameter_validation=False,
        )
        self._stack = AsyncExitStack()
        self._client: SQSClient | None = None

    async def __aenter__(self) -> Self:
        """Open the client; no request is made yet."""
        client = aws_session().client("sqs", config=self._config)
        self._client = await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._stack.aclose()
        self._client = None

    @property
    def client(self) -> SQSClient:
        """The open client."""
        if self._client is None:
            msg = "the SQS connection is not open"
            raise RuntimeError(msg)
        return self._client

    async def call(
        self, operation: str, answer: Awaitable[Answer], timeout_seconds: float = _CALL_TIMEOUT_SECONDS
    ) -> Answer:
        """Await one request, counted and bounded.

        Raises:
            QueueUnavailableError: it failed as a whole; the client's error is its cause.

        """
        try:
            async with asyncio.timeout(timeout_seconds):
                result = await answer
        except TimeoutError as error:
            self._observer.sqs_request(operation, "timeout")
            msg = f"SQS did not answer {operation} within {timeout_seconds:g} s"
            raise QueueUnavailableError(msg) from error
        except (ClientError, BotoCoreError, HttpClientError, OSError) as error:
            self._observer.sqs_request(operation, "error")
            msg = f"SQS refused {operation}: {error}"[:500]
            raise QueueUnavailableError(msg) from error
        self._observer.sqs_request(operation, "ok")
        return result


def error_code(error: QueueUnavailableError) -> str | None:
    """Return AWS's code of the error behind a refused call, without the query-protocol prefix."""
    cause = error.__cause__
    if isinstance(cause, ClientError):
        return cause.response.get("Error", {}).get("Code", "").rpartition(".")[2] or None
    return None
