"""The rules of a Lease (`coordination.k8s.io/v1`): who holds it, who may take it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class SeenLease:
    """A Lease as it was seen to change last.

    Attributes:
        holder: Who holds it; empty: nobody.
        renewed: Its `renewTime`, as written by the holder's clock; only ever compared for equality.
        duration_seconds: How long the holder asks to be waited for.
        seen_at: Monotonic seconds of this process when it was first seen like this.
    """

    holder: str
    renewed: str
    duration_seconds: float
    seen_at: float


def seen(spec: Mapping[str, Any], before: SeenLease | None, at: float) -> SeenLease:
    """Take a reading; `seen_at` stays while nothing has changed.

    Clocks of two machines are never compared: what counts is how long this process has seen no renewal
    (as in client-go's leader election).
    """
    holder, renewed = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
    if before is not None and (before.holder, before.renewed) == (holder, renewed):
        return before
    return SeenLease(holder, renewed, float(spec.get("leaseDurationSeconds") or 0), at)


def may_take(lease: SeenLease, identity: str, at: float) -> bool:
    """Tell whether this process may write itself into the Lease."""
    return lease.holder in {"", identity} or at - lease.seen_at >= lease.duration_seconds


def taken(spec: Mapping[str, Any], identity: str, duration_seconds: int, now: datetime) -> dict[str, Any]:
    """Return the Lease's spec, taken or renewed by this process."""
    time = now.astimezone(UTC).strftime(_FORMAT)
    if spec.get("holderIdentity") == identity:
        acquired, transitions = spec.get("acquireTime", time), int(spec.get("leaseTransitions") or 0)
    else:
        acquired, transitions = time, int(spec.get("leaseTransitions") or 0) + 1
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": duration_seconds,
        "acquireTime": acquired,
        "renewTime": time,
        "leaseTransitions": transitions,
    }
