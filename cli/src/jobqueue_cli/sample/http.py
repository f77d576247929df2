"""The little of HTTP/1.1 that the sample service needs (RFC 9112): a request with a length, an answer."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

_HEAD_END = b"\r\n\r\n"
_HEAD_MAX = 65_536
_BODY_MAX = 16_777_216
_REQUEST_LINE_PARTS = 3


class BadRequestError(Exception):
    """What came cannot be answered but by this status and closing the connection."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        """Whether the client keeps the connection for another request."""
        return self.headers.get("connection", "").lower() != "close"


def take_request(buffer: bytearray) -> Request | None:
    """Take the first whole request from the buffer; None while it is not all there.

    Raises:
        BadRequestError: It is no request, too large, or has no length (411).
    """
    end = buffer.find(_HEAD_END)
    if end < 0:
        if len(buffer) > _HEAD_MAX:
            raise BadRequestError(431)
        return None
    first, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != _REQUEST_LINE_PARTS:
        raise BadRequestError(400)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if "transfer-encoding" in headers:
        raise BadRequestError(411)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequestError(400)
    if int(length) > _BODY_MAX:
        raise BadRequestError(413)
    start = end + len(_HEAD_END)
    if len(buffer) < start + int(length):
        return None
    body = bytes(buffer[start : start + int(length)])
    del buffer[: start + int(length)]
    return Request(parts[0], parts[1].partition("?")[0], headers, body)


def render(status: int, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """Return an answer with a JSON body."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + _HEAD_END + body
