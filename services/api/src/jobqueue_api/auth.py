"""Who calls: API keys, known here only by their SHA-256."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from jobqueue_api.problems import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPEN_PATHS = frozenset(
    {
        "/healthz",
        "/readyz",
        "/metrics",
        "/docs",
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui.css",
        "/openapi.json",
    }
)
"""Paths that answer without a key: probes, scrapes and the documentation hold nothing of a client's."""

_SCHEME = b"bearer "


class ApiKeys:
    """The keys that are accepted."""

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        """Take pairs of a client's name and its key's SHA-256 in hexadecimal digits."""
        self._keys = [(name, bytes.fromhex(digest)) for name, digest in keys]

    def identify(self, headers: Mapping[bytes, bytes]) -> str:
        """Return the name of the client that calls.

        Raises:
            Problem: no key came, or one that is not accepted.

        """
        key = _presented(headers)
        if key is None:
            raise _unauthorized("Send the header Authorization: Bearer KEY, or X-API-Key: KEY.")
        digest = hashlib.sha256(key).digest()
        found: str | None = None
        # Every key is compared, so that the time taken tells nothing of which is near.
        for name, accepted in self._keys:
            if hmac.compare_digest(digest, accepted):
                found = name
        if found is None:
            raise _unauthorized("The API key is not accepted.")
        return found


def _presented(headers: Mapping[bytes, bytes]) -> bytes | None:
    authorization = headers.get(b"authorization", b"")
    if authorization[: len(_SCHEME)].lower() == _SCHEME:
        return authorization[len(_SCHEME) :].strip()
    return headers.get(b"x-api-key")


def _unauthorized(detail: str) -> Problem:
    return Problem(Kind.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="jobqueue"'})
