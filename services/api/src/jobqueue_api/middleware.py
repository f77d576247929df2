"""What happens to every request, in one ASGI layer: id, key, body limit, time, metrics, log line."""

from __future__ import annotations

import re
import secrets
from time import perf_counter
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request

from jobqueue_api.auth import OPEN_PATHS
from jobqueue_api.problems import Kind, Problem, store_unavailable, unforeseen
from jobqueue_core.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from jobqueue_api.access import AccessLog
    from jobqueue_api.auth import ApiKeys
    from jobqueue_api.routing import RawRoute
    from jobqueue_core.telemetry.metrics import Metrics

REQUEST_ID = "jobqueue.request_id"
"""Key of the ASGI scope."""
HEADERS = "jobqueue.headers"
"""Key of the ASGI scope: the headers as a mapping."""

_REQUEST_ID_FORM = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNMATCHED = "unmatched"
_INTERNAL_ERROR = 500

_log = structlog.get_logger(__name__)


class Gateway:
    """The outermost layer: an exception goes no further than here."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        access_log: AccessLog,
        max_body_bytes: int,
        max_body_bytes_of: Mapping[str, int],
        keys: ApiKeys | None,
        direct: Sequence[RawRoute] = (),
    ) -> None:
        """Wrap an application.

        Args:
            app: what answers.
            metrics: gets the time of every request.
            access_log: gets a line for every request.
            max_body_bytes: the largest body.
            max_body_bytes_of: the largest body of certain paths.
            keys: who may call; None: everybody.
            direct: operations that are called here, past the application's own layers and router.

        """
        self._app = app
        self._metrics = metrics
        self._access_log = access_log
        self._max_body_bytes = max_body_bytes
        self._max_body_bytes_of = max_body_bytes_of
        self._keys = keys
        self._direct = {
            (method, route.path): (route, route.get_route_handler())
            for route in direct
            for method in route.methods or ()
        }
        # Finding a metric's child by its labels costs more than observing it.
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        scope[HEADERS] = headers
        request_id = _request_id(headers.get(b"x-request-id"))
        scope[REQUEST_ID] = request_id
        status = 0
        client = ""

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-process-time", b"%.6f" % (perf_counter() - started)),
                ]
            await send(message)

        try:
            if self._keys is not None and scope["path"] not in OPEN_PATHS:
                client = self._keys.identify(headers)
            limit = self._max_body_bytes_of.get(scope["path"], self._max_body_bytes)
            receive = _limited(receive, headers, limit)
            found = self._direct.get((scope["method"], scope["path"]))
            if found is None:
                await self._app(scope, receive, send_noted)
            else:
                scope["route"], handler = found
                response = await handler(Request(scope, receive))
                await response(scope, receive, send_noted)
        except (Problem, StoreUnavailableError) as error:
            if not status:
                await as_problem(error, request_id).response(request_id)(scope, receive, send_noted)
        except Exception:  # noqa: BLE001 - logged, and told to the client
            _log.exception("request failed", request_id=request_id, path=scope["path"][:200])
            if not status:
                await unforeseen().response(request_id)(scope, receive, send_noted)
        finally:
            self._note(scope, status or _INTERNAL_ERROR, perf_counter() - started, request_id, client)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str, client: str) -> None:
        route = scope.get("route")
        template = _UNMATCHED if route is None else route.path
        method = scope["method"]
        key = (template, method, status)
        observe = self._observers.get(key)
        if observe is None:
            label = method if method in _METHODS else "other"
            observe = self._metrics.http_requests.labels(template, label, str(status)).observe
            if label == method:
                self._observers[key] = observe
        observe(seconds)
        self._access_log.write(
            method=method,
            path=scope["path"],
            route=template,
            status=status,
            seconds=seconds,
            request_id=request_id,
            client=client,
        )


def as_problem(error: Problem | StoreUnavailableError, request_id: str) -> Problem:
    """Return what a client is told; the reason why the store is away is for the log only."""
    if isinstance(error, Problem):
        return error
    _log.warning("store unavailable", request_id=request_id, error=str(error))
    return store_unavailable()


def _request_id(given: bytes | None) -> str:
    if given is not None and _REQUEST_ID_FORM.fullmatch(given):
        return given.decode("ascii")
    return secrets.token_hex(16)


def _limited(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> Receive:
    """Bound the body: by its announced length, or as it comes where none is announced.

    Raises:
        Problem: it is too large.

    """
    length = headers.get(b"content-length")
    if length is not None:
        # The server reads no more than this.
        if int(length) > limit:
            raise _too_large(limit)
        return receive
    if b"transfer-encoding" not in headers:
        return receive
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> Problem:
    return Problem(Kind.BODY_TOO_LARGE, f"A body of this request may have at most {limit} bytes.")
