"""What ends a command, in one line for people."""

from __future__ import annotations

BAD_ARGUMENTS = 2
FAILED = 1


class CommandError(Exception):
    """The command cannot go on; the message says why and what to do.

    Attributes:
        exit_code: 2 where an argument or setting is at fault, 1 otherwise.
    """

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
