"""A rate that many workers share: calls get their moments on one common time line.

The generic cell rate algorithm (ITU-T I.371, "virtual scheduling"): the state is one number, the
moment of the next call. Each reserved call has a moment of its own, `1 / rate` after the one before,
whoever makes it. What is reserved by a worker that dies is lost, and nothing more.
"""

from __future__ import annotations

from math import floor

AHEAD_SECONDS = 0.25
"""Moments are reserved no further ahead: a dead worker loses at most so much of the rate, once."""
LATE_SECONDS = 0.1
"""A moment that nobody reserved is kept so long. It is the burst after a pause, 1 % of ten seconds."""
VALID_SECONDS = 0.15
"""A reserved moment that is not used is void after this, so that unused ones cannot pile up."""
# Of one interval: sums of times of this century are exact to a quarter of a microsecond.
_ROUNDING = 1e-3


def reserve(next_at: float, *, wanted: int, per_second: float, now: float) -> tuple[float, tuple[float, ...]]:
    """Reserve moments of the time line for one worker.

    In any span of `t` seconds no more than `per_second × (t + VALID_SECONDS + LATE_SECONDS) + 1` calls
    begin, whatever workers do with their moments. At most half of what is free is given at once (at least
    one), so that the next worker finds something.

    Args:
        next_at: the first moment not yet reserved.
        wanted: moments asked for.
        per_second: the rate.
        now: seconds since the epoch.

    Returns:
        The new `next_at`, and the moments, none before `now - LATE_SECONDS`.

    """
    interval = 1.0 / per_second
    # A rate so low that its interval is longer than the leniency gets none: two calls must not follow
    # each other quicker than it says.
    lenient = LATE_SECONDS if interval <= LATE_SECONDS else 0.0
    first = max(next_at, now - lenient)
    free = floor((now + AHEAD_SECONDS - first) * per_second + _ROUNDING) + 1
    if wanted <= 0 or free <= 0:
        return next_at, ()
    count = min(wanted, max(1, (free + 1) // 2))
    return first + count * interval, tuple(first + n * interval for n in range(count))


def free_at(next_at: float) -> float:
    """Return when a moment can be reserved again."""
    return next_at - AHEAD_SECONDS
