"""The body of a request as it must be before it is read as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from jobqueue_api.problems import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


async def read_json_body(request: Request, headers: Mapping[bytes, bytes]) -> bytes:
    """Return the body's bytes; empty where there is none.

    Raises:
        Problem: it is of another media type, or too large.

    """
    body = await _whole(request)
    if body:
        media_type = headers.get(b"content-type")
        if media_type is not None and not is_json(media_type):
            raise Problem(
                Kind.UNSUPPORTED_MEDIA_TYPE, "Send the header Content-Type: application/json, or none."
            )
    return body


async def _whole(request: Request) -> bytes:
    """Read the body; nearly always it is there in one piece."""
    message = await request.receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await request.receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return body


def is_json(content_type: bytes) -> bool:
    """Tell whether a Content-Type names JSON (RFC 8259, RFC 6839 §3.1)."""
    essence = content_type.partition(b";")[0].strip().lower()
    return essence == b"application/json" or (
        essence.startswith(b"application/") and essence.endswith(b"+json")
    )
