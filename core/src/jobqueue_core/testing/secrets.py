"""A reader of secrets that are kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_core.ports.secrets import SecretError, SecretNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeSecrets:
    """Secrets from a mapping; a value that is a `SecretError` is raised.

    Attributes:
        reads: The ids that were read, in order.
    """

    def __init__(self, values: Mapping[str, str | SecretError] | None = None) -> None:
        self._values = dict(values or {})
        self.reads: list[str] = []

    async def read(self, secret_id: str) -> str:
        """Return the text kept under the id."""
        self.reads.append(secret_id)
        value = self._values.get(secret_id)
        if value is None:
            raise SecretNotFoundError(secret_id, "does not exist")
        if isinstance(value, SecretError):
            raise value
        return value
