"""A number of calls at a time that many workers share, by leases: what a dead worker holds comes free.

Pure. Times are seconds since the epoch on the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEASE_SECONDS = 30.0
"""How long permits are a worker's own without a word of it."""
RENEW_SECONDS = 10.0
"""A lease is written anew when so much of it has passed, not each time."""
TURN_SECONDS = 5.0
"""Where not everybody can have one more permit, it goes round after this time."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What one worker has of the limit.

    Attributes:
        worker: its id.
        held: permits that are its own until the lease ends.
        wanted: permits that it could use, those included.
        expires_at: the end of the lease.

    """

    worker: str
    held: int
    wanted: int
    expires_at: float


def fair_shares(limit: int, wants: Mapping[str, int], turn: int) -> dict[str, int]:
    """Divide a limit: nobody gets more than wanted, and nobody less so that another has more (max-min).

    Args:
        limit: what there is.
        wants: what each one could use.
        turn: grows with time; whom an indivisible rest goes to depends on it.

    """
    level, left = 0, limit
    for position, want in enumerate(sorted(wants.values())):
        among = len(wants) - position
        if (want - level) * among > left:
            level += left // among
            left -= left // among * among
            break
        left -= (want - level) * among
        level = want
    shares = {name: min(want, level) for name, want in wants.items()}
    short = sorted(name for name, want in wants.items() if want > level)
    start = turn % len(short) if short else 0
    for name in (short[start:] + short[:start])[:left]:
        shares[name] += 1
    return shares


def hold(
    holders: Sequence[Holder], worker: str, *, calls: int, wanted: int, limit: int, now: float
) -> tuple[tuple[Holder, ...], Holder, int]:
    """Return the holders after one worker's word, what that one holds, and how much of it it may use.

    New permits are given only as long as all of them together stay within the limit. A worker that holds
    more than its share keeps what is in use until those calls have ended, and begins no others with it.

    Args:
        holders: as they were.
        worker: who speaks.
        calls: its permits that are in use.
        wanted: permits that it could use besides.
        limit: of all workers together.
        now: seconds since the epoch.

    """
    others = [each for each in holders if each.worker != worker and each.expires_at > now]
    mine = next((each for each in holders if each.worker == worker), None)
    wants = {each.worker: each.wanted for each in others} | {worker: calls + wanted}
    share = fair_shares(limit, wants, int(now // TURN_SECONDS))[worker]
    free = max(0, limit - calls - sum(each.held for each in others))
    held = max(calls, min(share, calls + free))
    fresh = Holder(worker, held, calls + wanted, now + LEASE_SECONDS)
    if mine is not None and (mine.held, mine.wanted) == (held, calls + wanted):
        is_young = mine.expires_at - now > LEASE_SECONDS - RENEW_SECONDS
        fresh = mine if is_young else fresh
    kept = [fresh] if fresh.wanted else []
    after = tuple(sorted([*others, *kept], key=lambda each: each.worker))
    return after, fresh, min(held, share)
