"""What one worker may begin by itself, between two words with the others."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_core.domain.flow import Block, FlowPolicy, Grant, Reason
from jobqueue_core.domain.pacing import VALID_SECONDS

if TYPE_CHECKING:
    from jobqueue_core.domain.circuit import Probe

# What was learnt longer ago is asked for anew before a call begins: the circuit may have opened, and the
# lease of permits is not known to hold on.
_FRESH_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class Permit:
    """The right to one call; with the moment of the rate that it uses and its end, or as a probe."""

    moment: tuple[float, float] | None = None
    probe: Probe | None = None


class Allowance:
    """Permits that are this worker's own. No I/O; times are seconds since the epoch on the store's clock.

    Attributes:
        calls: permits in use.
        begun: permits taken since the last grant.
        held: permits of the concurrency limit that are leased.
        usable: how many of them may be in use.
        block: why no call may begin.
        probe: the probe that is this worker's, used or not.

    """

    def __init__(self, policy: FlowPolicy, slots: int) -> None:
        """Begin with nothing; `slots` are the calls that the worker can make at once."""
        self._policy = policy
        self._slots = slots
        self.calls = 0
        self.begun = 0
        self.held = 0
        self.usable = 0
        self.held_until = 0.0
        self.block: Block | None = None
        self.probe: Probe | None = None
        self._probe_is_free = False
        self._moments: deque[tuple[float, float]] = deque()
        self._learnt_at = float("-inf")

    def take(self, now: float) -> Permit | None:
        """Return a permit, if there is one for this moment."""
        if not self.is_fresh(now) or self.room == 0:
            return None
        if self.block is not None and not self._may_probe(now):
            return None
        if self._policy.concurrent is not None and self.calls >= self.usable:
            return None
        moment = None
        if self._policy.per_second is not None:
            next_at = self.next_moment(now)
            if next_at is None or next_at > now:
                return None
            moment = self._moments.popleft()
        permit = Permit(moment, self.probe if self._probe_is_free else None)
        self._probe_is_free = False
        self.calls += 1
        self.begun += 1
        return permit

    def _may_probe(self, now: float) -> bool:
        return self._probe_is_free and self.probe is not None and now < self.probe.deadline

    def give_back(self, permit: Permit, *, unused: bool) -> None:
        """Take a permit back; one that was not used can be used by the next message."""
        self.calls -= 1
        if not unused:
            return
        if permit.moment is not None and self.block is None:
            self._moments.appendleft(permit.moment)
        if permit.probe is not None and permit.probe == self.probe:
            self._probe_is_free = True

    def next_moment(self, now: float) -> float | None:
        """Return the next moment at which a call may begin; None when none is reserved."""
        while self._moments and self._moments[0][1] < now:
            self._moments.popleft()
        return self._moments[0][0] if self._moments else None

    def is_fresh(self, now: float) -> bool:
        """Whether what was learnt is still good enough to begin a call by it."""
        return now - self._learnt_at < _FRESH_SECONDS

    @property
    def room(self) -> int:
        """Calls that can begin besides; with a limit none is admitted that would wait for a slot."""
        return max(0, self._slots - self.calls) if self._policy.is_limited else self._slots

    @property
    def has_spare_probe(self) -> bool:
        """Whether the probe is there and not in use."""
        return self._probe_is_free

    def moments_to_ask_for(self, waiting: int, now: float) -> int:
        """Return how many moments the messages that wait can use until the next grant."""
        if self._policy.per_second is None:
            return 0
        self.next_moment(now)
        return max(0, min(waiting, self.room + self.begun) - len(self._moments))

    @property
    def reserved(self) -> int:
        """Moments that are reserved."""
        return len(self._moments)

    def is_short(self, waiting: int, now: float) -> bool:
        """Whether messages wait that could be begun with more permits."""
        wanted = min(waiting, self.room)
        if wanted == 0 or not self._policy.is_limited:
            return False
        if self._policy.concurrent is not None and self.usable - self.calls < wanted:
            return True
        return self.moments_to_ask_for(waiting, now) > 0

    def learn(self, grant: Grant, now: float) -> None:
        """Take a grant."""
        self._learnt_at = now
        self.begun = 0
        self.block = grant.block
        self.held, self.usable, self.held_until = grant.held, grant.usable, grant.held_until
        if grant.block is not None:
            self._moments.clear()
        elif self._probe_is_free:
            # Another one has closed the circuit meanwhile.
            self.forget_probe()
        if grant.probe is not None:
            self.probe, self._probe_is_free = grant.probe, True
        self._moments.extend((moment, max(moment, now) + VALID_SECONDS) for moment in grant.moments)

    def forget_probe(self) -> None:
        """Drop the probe: it has been used or given back."""
        self.probe, self._probe_is_free = None, False

    def pause(self, until: float) -> None:
        """Begin no call until then, ahead of the others' knowing of it."""
        if self.block is None or self.block.until < until:
            self.block = Block(Reason.PAUSED, until)
        self._moments.clear()
