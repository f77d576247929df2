"""How large a run is, and the short times that the processes get so that repair shows in seconds."""

from __future__ import annotations

from dataclasses import dataclass

VISIBILITY_SECONDS = 5
PROCESSOR_TIMEOUT_SECONDS = 2.5
RELAY_GRACE_SECONDS = 1.5
RELAY_LOST_AFTER_SECONDS = 6.0
DRAIN_SECONDS = 4.0
MAX_ATTEMPTS = 4
# As shipped.
MAX_DEATHS = 3
SCHEDULE = "tick"
STANDARD, ORDERED = "default", "orders"
SQS_NAMES = {STANDARD: "chaos", ORDERED: "orders.fifo"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The size of a run.

    Attributes:
        jobs: submitted in all.
        outage_seconds: length of each outage.
        pause_seconds: between two outages.
        life_seconds: how long a process may live with a failpoint that it does not reach.
        arm_max: a failpoint kills at the latest at this pass.
        kills: at least this many, over every failpoint in turn.
        every_place: whether the run lasts until each failpoint has killed.
        patience_seconds: once the faults are over, without another job that becomes final.
        left_out: kinds of jobs that take too long for it.
        limit_seconds: of the faults, whatever has not been reached by then.

    """

    jobs: int
    outage_seconds: float
    pause_seconds: float
    life_seconds: float
    arm_max: int
    kills: int
    every_place: bool
    patience_seconds: float
    limit_seconds: float
    left_out: frozenset[str] = frozenset()


LONG = Profile(
    jobs=20_000,
    outage_seconds=60.0,
    pause_seconds=5.0,
    life_seconds=10.0,
    arm_max=25,
    kills=300,
    every_place=True,
    patience_seconds=60.0,
    limit_seconds=900.0,
)
QUICK = Profile(
    jobs=1_500,
    outage_seconds=6.0,
    pause_seconds=4.0,
    life_seconds=5.0,
    arm_max=10,
    kills=40,
    every_place=True,
    patience_seconds=60.0,
    limit_seconds=270.0,
)
SHORT = Profile(
    jobs=120,
    outage_seconds=2.0,
    pause_seconds=0.3,
    life_seconds=4.0,
    arm_max=3,
    kills=6,
    every_place=False,
    patience_seconds=60.0,
    limit_seconds=15.0,
    left_out=frozenset({"longer than the lease", "redriven"}),
)
