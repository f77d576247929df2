"""Job ids: UUID version 7, whose text sorts by the time it was made (RFC 9562 §5.7)."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SHAPE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_COUNTER_BITS = 12
_COUNTER_END = 1 << _COUNTER_BITS
_TAIL_BITS = 62
_VERSION = 7 << 76
_VARIANT = 2 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JobIds:
    """Makes job ids that rise strictly within one process.

    `rand_a` is a counter seeded at random in each millisecond (RFC 9562 §6.2, method 1): ids
    made by one process in one millisecond keep their order, which is the order of submission.
    A clock that steps back keeps the last millisecond, so ids never go back.
    """

    def __init__(self, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        """Take the source of randomness: `random_bits(n)` gives an integer of `n` bits."""
        self._random_bits = random_bits
        self._millisecond = -1
        self._counter = 0

    def new(self, now: datetime) -> str:
        """Return a new id for a job made at `now`."""
        millisecond = _millisecond(now)
        if millisecond > self._millisecond:
            self._millisecond = millisecond
            # Half the counter's room is left free, so that a burst has somewhere to count.
            self._counter = self._random_bits(_COUNTER_BITS - 1)
        else:
            self._counter += 1
            if self._counter == _COUNTER_END:
                self._millisecond += 1
                self._counter = 0
        tail = self._random_bits(_TAIL_BITS)
        return _text((self._millisecond << 80) | _VERSION | (self._counter << 64) | _VARIANT | tail)


def derived_id(moment: datetime, name: str) -> str:
    """Return the id of the one job that `name` has at `moment`: the same for whoever asks.

    It sorts among the ids that were made at that moment; where those are random, this is a digest of the
    name.
    """
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16])
    counter = digest >> (128 - _COUNTER_BITS)
    tail = digest & ((1 << _TAIL_BITS) - 1)
    return _text((_millisecond(moment) << 80) | _VERSION | (counter << 64) | _VARIANT | tail)


def _millisecond(moment: datetime) -> int:
    """Return the milliseconds since the epoch, in integers: a float would be one short now and then."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _text(value: int) -> str:
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_job_id(text: str) -> bool:
    """Tell whether the text has the form of a job id."""
    return _SHAPE.fullmatch(text) is not None


def made_at(job_id: str) -> datetime:
    """Return when the id was made, to the millisecond."""
    return datetime.fromtimestamp(int(job_id[:8] + job_id[9:13], 16) / 1000, tz=UTC)


def lowest_id_at(moment: datetime) -> str:
    """Return the lowest id that a job made at `moment` or later can have (for range queries)."""
    return _text((_millisecond(moment) << 80) | _VERSION | _VARIANT)
