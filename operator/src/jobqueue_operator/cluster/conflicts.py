"""Two JobQueues must not own one queue or one target: the older one has it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """What one JobQueue owns.

    Attributes:
        owner: Namespace and name of the JobQueue.
        created_at: When it was made.
        uid: Decides between two of the same second.
        keys: What it owns, each in words: `queue emails`, `Deployment team/worker`.
    """

    owner: tuple[str, str]
    created_at: datetime
    uid: str
    keys: tuple[str, ...]

    @property
    def age(self) -> tuple[datetime, str]:
        """What decides: the smaller one has the right."""
        return (self.created_at, self.uid)


def conflict_of(claim: Claim, others: Iterable[Claim]) -> str | None:
    """Return why this JobQueue may not act, in words; None when it may."""
    for other in sorted(others, key=lambda other: other.age):
        if other.owner == claim.owner or other.age >= claim.age:
            continue
        shared = [key for key in claim.keys if key in other.keys]
        if shared:
            owner = "/".join(other.owner)
            return f"{shared[0]} belongs to the older JobQueue {owner}: name another, or delete one of them"
    return None
