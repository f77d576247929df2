"""From a seed to the faults of a run: the same seed is the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobqueue_core.failpoints import PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobqueue_chaos.profile import Profile

CLOCKS_APART_SECONDS = 30.0
# Places that a process passes many times a second; the others are waited for from the first time on.
_FREQUENT = frozenset(
    {
        *(
            "api.before_insert",
            "api.after_key",
            "api.after_insert",
            "api.before_send",
            "api.after_send",
            "api.after_note",
        ),
        *("worker.after_receive", "worker.before_claim", "worker.after_claim", "worker.before_call"),
        *("worker.after_call", "worker.before_record", "worker.after_record"),
        *("worker.before_delete", "worker.after_delete"),
    }
)
_OTHERS_MAX = 3
# Seconds to wait for what is passed seldom: due times come once a minute, letters are swept now and then.
SELDOM = {
    "relay.after_recurring_insert": 65.0,
    "relay.after_recurring_state": 65.0,
    "redrive.after_reset": 30.0,
    "redrive.after_cursor": 30.0,
    "letters.before_delete": 60.0,
}


class Role(StrEnum):
    """What a process is."""

    API = "api"
    """With its relay."""
    WORKER = "worker"


class Kind(StrEnum):
    """What goes wrong, at a time of the plan; on the command line `sqs-stopped` and so on."""

    SQS_STOPPED = "SQS stopped (kill -9, queues empty)"
    SQS_HUNG = "SQS hung"
    SQS_REFUSING = "SQS refusing"
    SQS_FAILING = "SQS answering 500"
    SQS_SLOW = "SQS slow"
    MONGO_STOPPED = "MongoDB stopped (kill -9)"
    MONGO_HUNG = "MongoDB hung"
    MONGO_REFUSING = "MongoDB refusing"
    MONGO_SLOW = "MongoDB slow"
    DISK_FULL = "MongoDB's disk full"
    FROZEN = "worker stopped past its lease"
    ROLLING = "SIGTERM to each process in turn"

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return self.name.lower().replace("_", "-")


OUTAGES = (
    Kind.SQS_STOPPED,
    Kind.SQS_HUNG,
    Kind.SQS_REFUSING,
    Kind.SQS_FAILING,
    Kind.SQS_SLOW,
    Kind.MONGO_STOPPED,
    Kind.MONGO_HUNG,
    Kind.MONGO_REFUSING,
    Kind.MONGO_SLOW,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong for some seconds; `seconds` is 0 where it lasts as long as it takes."""

    kind: Kind
    seconds: float
    pause_seconds: float
    """Before it begins."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A failpoint at which a process is to die (or to `stop`), the Nth time it comes there."""

    place: str
    at: int
    action: str = "kill"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the seed decides."""

    seed: int
    faults: tuple[Fault, ...]
    arm_max: int
    """A failpoint kills at most at this many passes."""

    def arms(self, role: Role) -> Iterator[Arm]:
        """Give failpoints for a role without end: round after round, each place once a round."""
        source = random.Random(f"{self.seed} {role} arms")
        while True:
            places = list(places_of(role))
            source.shuffle(places)
            for place in places:
                most = self.arm_max if place in _FREQUENT else min(_OTHERS_MAX, self.arm_max)
                most = 1 if place in SELDOM else most
                yield Arm(place, source.randint(1, most))

    def lives(self, name: str, mean_seconds: float) -> Iterator[float]:
        """Give for each start of a process how long it may live before it is killed at random."""
        source = random.Random(f"{self.seed} {name} lives")
        while True:
            yield mean_seconds * source.uniform(0.6, 1.4)

    def clock_offsets(self, name: str) -> Iterator[float]:
        """Give for each start of a process how far its clock is off, in seconds."""
        source = random.Random(f"{self.seed} {name} clocks")
        while True:
            yield round(source.uniform(-CLOCKS_APART_SECONDS, CLOCKS_APART_SECONDS), 1)


def places_of(role: Role) -> tuple[str, ...]:
    """Return the failpoints that processes of a role come by."""
    prefixes = ("api.", "relay.", "redrive.", "letters.") if role is Role.API else ("worker.",)
    return tuple(place for place in PLACES if place.startswith(prefixes))


def make_plan(seed: int, profile: Profile, kinds: Sequence[Kind] | None = None) -> Plan:
    """Return the plan: each kind of fault once, in an order that the seed gives.

    Args:
        seed: of everything.
        profile: the size of the run.
        kinds: which faults; None: all.

    """
    source = random.Random(f"{seed} faults")
    wanted = list(Kind if kinds is None else kinds)
    source.shuffle(wanted)
    faults = tuple(Fault(kind, _seconds(kind, profile), profile.pause_seconds) for kind in wanted)
    return Plan(seed, faults, profile.arm_max)


def _seconds(kind: Kind, profile: Profile) -> float:
    if kind in OUTAGES:
        return profile.outage_seconds
    if kind is Kind.DISK_FULL:
        return min(profile.outage_seconds, 10.0)
    return 0.0
