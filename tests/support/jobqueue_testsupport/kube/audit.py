"""What was asked of the API server, by whom: its audit log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as the API server logged it (`resource` with the subresource: `deployments/scale`)."""

    user_agent: str
    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    @property
    def writes(self) -> bool:
        """Whether it asked for a change."""
        return self.verb in {"create", "update", "patch", "delete", "deletecollection"}


class AuditLog:
    """Requests since the last look: `read` gives each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self) -> list[Request]:
        """Return the requests that were answered since the last call, or since this was made."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            text = log.read()
        # The last line may be half written.
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [_request(event) for event in map(json.loads, whole.splitlines()) if _counts(event)]


def _counts(event: dict[str, object]) -> bool:
    """Whether this is the one line of a request that counts: a watch's first, every other's last."""
    return (event["stage"] == "ResponseStarted") == (event["verb"] == "watch")


def _request(event: dict[str, object]) -> Request:
    reference = event.get("objectRef") or {}
    status = event.get("responseStatus") or {}
    user = event.get("user") or {}
    assert isinstance(reference, dict)
    assert isinstance(status, dict)
    assert isinstance(user, dict)
    parts = [str(reference[part]) for part in ("resource", "subresource") if part in reference]
    return Request(
        user_agent=str(event.get("userAgent", "")),
        user=str(user.get("username", "")),
        verb=str(event["verb"]),
        resource="/".join(parts),
        namespace=str(reference.get("namespace", "")),
        name=str(reference.get("name", "")),
        code=int(status.get("code", 0)),
    )
