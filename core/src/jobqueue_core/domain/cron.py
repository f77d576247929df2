"""Cron expressions: what is one, and when it fires.

An expression has five fields: minute, hour, day of month, month and day of week, on the clocks of a time
zone. A time that the clocks skip fires at the first moment after the gap. A time that occurs twice fires the
first time only. Where minutes or hours begin with `*`, the expression is a rhythm: it goes on through the
time that occurs twice, and makes up for nothing in the gap (as in Debian's cron).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from datetime import tzinfo

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FIELDS = 5
# No expression tells two moments apart that are closer together.
_RESOLUTION = timedelta(minutes=1)


@lru_cache(maxsize=4096)
def cron_fault(cron: str) -> str | None:
    """Return the rule that an expression breaks, as `must be …`; None: none."""
    if len(cron.split()) != _FIELDS:
        return "must be a cron expression of five fields"
    try:
        return None if next(CronSim(cron, _EPOCH), None) else "must be a time that comes"
    except CronSimError as error:
        return f"must be a cron expression of a time that comes ({str(error).lower()})"


@lru_cache(maxsize=1024)
def time_zone(name: str) -> tzinfo:
    """Return a time zone of the IANA database, as `UTC` or `Europe/Berlin`.

    Raises:
        ValueError: There is none of that name.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # unknown; a folder of the database; not a name
        message = f"unknown time zone {name!r}"
        raise ValueError(message) from error


def fires_after(cron: str, zone: tzinfo, moment: datetime) -> datetime | None:
    """Return the first time after a moment at which an expression fires.

    Args:
        cron: An expression without fault.
        zone: Whose clocks count.
        moment: An aware time.

    Returns:
        The time in UTC; None: it never fires again.
    """
    for fires in CronSim(cron, moment.astimezone(zone)):
        found = fires.astimezone(UTC)
        # Within an hour that comes twice the clocks say again what they have said before.
        if found > moment:
            return found
    return None


def last_firing(cron: str, zone: tzinfo, *, after: datetime, until: datetime) -> datetime | None:
    """Return the last time after one moment, and not after another, at which an expression fires.

    It is found by halving, in some twenty steps a year: years of minutes cost no more than a day of hours.

    Args:
        cron: An expression without fault.
        zone: Whose clocks count.
        after: An aware time.
        until: An aware time; itself included.

    Returns:
        The time in UTC; None: it does not fire in that time.
    """
    found = fires_after(cron, zone, after)
    if found is None or found > until:
        return None
    beyond = until
    while beyond - found > _RESOLUTION:
        middle = found + (beyond - found) / 2
        later = fires_after(cron, zone, middle)
        if later is not None and later <= until:
            found = later
        else:
            beyond = middle
    # Between the two there is room for one more.
    later = fires_after(cron, zone, found)
    return later if later is not None and later <= until else found
