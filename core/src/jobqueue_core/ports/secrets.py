"""Reading secrets by their id."""

from __future__ import annotations

from typing import Protocol


class SecretError(Exception):
    """A secret could not be read.

    The message says what is wrong and what to do, and never shows a value: it stands after the secret's name,
    as in ``secret jobqueue/mongodb <message>``.
    """

    def __init__(self, secret_id: str, problem: str) -> None:
        super().__init__(f"secret {secret_id} {problem}")
        self.secret_id = secret_id
        self.problem = problem


class SecretNotFoundError(SecretError):
    """No secret has this id in the account and region asked."""


class SecretAccessDeniedError(SecretError):
    """The credentials at hand are missing, refused, or not allowed to read this secret."""


class SecretUnavailableError(SecretError):
    """The service that keeps the secrets did not answer, after every attempt."""


class SecretUnreadableError(SecretError):
    """The secret was read, and holds nothing that can be used (binary, or no text)."""


class SecretReader(Protocol):
    """Reads the current text of a secret."""

    async def read(self, secret_id: str) -> str:
        """Return the text of a secret.

        Raises:
            SecretError: The secret cannot be read, and why.
        """
        ...
