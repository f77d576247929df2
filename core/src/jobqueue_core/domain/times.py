"""Points in time as the store keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# BSON dates hold milliseconds (BSON specification, type 0x09). A guard compares times for
# equality, so every time in the domain is cut to what the store gives back.
_MICROSECONDS_PER_MILLISECOND = 1000


def to_milliseconds(moment: datetime) -> datetime:
    """Return the moment in UTC, cut (not rounded) to whole milliseconds."""
    moment = moment.astimezone(UTC)
    cut = moment.microsecond - moment.microsecond % _MICROSECONDS_PER_MILLISECOND
    return moment.replace(microsecond=cut)


def later(now: datetime, seconds: float) -> datetime:
    """Return the moment `seconds` after `now`, in whole milliseconds."""
    return to_milliseconds(now + timedelta(seconds=seconds))


def seconds_until(moment: datetime, now: datetime) -> float:
    """Return how many seconds lie between `now` and `moment`, never less than zero."""
    return max(0.0, (moment - now).total_seconds())


def rfc3339(moment: datetime) -> str:
    """Return the moment as RFC 3339 UTC with milliseconds, e.g. `2026-01-31T09:30:00.250Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
