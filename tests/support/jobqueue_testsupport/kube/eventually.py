"""Waiting for the world to become as it should, and seeing that it stays so."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
_POLL_SECONDS = 0.05


async def eventually(check: Callable[[], Result], within: float = 10.0) -> Result:
    """Repeat a check until it raises no AssertionError; return what it returns.

    Raises:
        AssertionError: The check's own, when it still fails after `within` seconds.
    """
    end = time.monotonic() + within
    while True:
        try:
            return check()
        except AssertionError as error:
            if time.monotonic() > end:
                error.add_note(f"still so after {within:g} s")
                raise
        await asyncio.sleep(_POLL_SECONDS)


async def stays(check: Callable[[], object], seconds: float) -> None:
    """Repeat a check for so many seconds.

    Raises:
        AssertionError: The check's own, the first time that it fails.
    """
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        try:
            check()
        except AssertionError as error:
            error.add_note(f"after {time.monotonic() - begin:.1f} s of the {seconds:g} s that it should hold")
            raise
        await asyncio.sleep(_POLL_SECONDS)
