"""Plain lines for people and pipes."""

from __future__ import annotations

import contextlib
import sys


class Console:
    """Implements `Output`: each line at once, errors to standard error."""

    def say(self, line: str) -> None:
        """Print a line; nobody reading any more is no reason to end."""
        with contextlib.suppress(BrokenPipeError):
            print(line, flush=True)  # noqa: T201

    def complain(self, line: str) -> None:
        """Print a line to standard error."""
        with contextlib.suppress(BrokenPipeError):
            print(f"jobqueue: {line}", file=sys.stderr, flush=True)  # noqa: T201
