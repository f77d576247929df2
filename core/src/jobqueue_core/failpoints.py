"""Named places in which a test may kill, stop or delay this process.

Nothing is compiled in unless `JOBQUEUE_TEST_FAILPOINTS` names a place when the process starts:
without it `hit` is a function that does nothing. The text is a list of `place=action`, separated by
commas; an action is `kill`, `stop` (SIGSTOP, until somebody continues the process) or `delay:SECONDS`,
and may be followed by `@N` (at the Nth time the place is reached; by default the first) or `@*` (at
each). A place that ends in `*` stands for every place that begins so.

`JOBQUEUE_TEST_CLOCK_OFFSET` sets the process's wall clock apart by so many seconds.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PLACES_VARIABLE = "JOBQUEUE_TEST_FAILPOINTS"
OFFSET_VARIABLE = "JOBQUEUE_TEST_CLOCK_OFFSET"

# Every place, in the order of a job's life. The harness that kills processes goes through this list, and
# a test holds it against the code.
PLACES: tuple[str, ...] = (
    "api.before_insert",
    "api.after_key",
    "api.after_insert",
    "api.before_send",
    "api.after_send",
    "api.after_note",
    "relay.before_claim",
    "relay.after_claim",
    "relay.after_send",
    "relay.after_note",
    "relay.after_dead_letter",
    "relay.after_recurring_insert",
    "relay.after_recurring_state",
    "redrive.after_reset",
    "redrive.after_cursor",
    "letters.before_delete",
    "worker.after_receive",
    "worker.before_claim",
    "worker.after_claim",
    "worker.before_call",
    "worker.after_call",
    "worker.before_record",
    "worker.after_record",
    "worker.before_delete",
    "worker.after_delete",
    "worker.before_hide",
    "worker.after_hide",
    "worker.before_dead_letter",
    "worker.after_dead_letter",
    "worker.before_extend",
    "worker.between_extends",
    "worker.after_extend",
    "worker.draining",
    "operator.before_scale",
    "operator.after_scale",
    "operator.before_status",
    "operator.after_status",
    "operator.before_queue",
    "operator.after_queue",
)


@dataclass(slots=True)
class _Action:
    place: str
    name: str
    seconds: float
    at: int | None
    seen: int = 0

    def meets(self, place: str) -> bool:
        if self.place.endswith("*"):
            return place.startswith(self.place[:-1])
        return place == self.place

    def reached(self) -> None:
        self.seen += 1
        if self.at is not None and self.seen != self.at:
            return
        if self.name == "delay":
            # The whole process stands still, as under a long pause of the machine.
            time.sleep(self.seconds)
        else:
            os.kill(os.getpid(), signal.SIGKILL if self.name == "kill" else signal.SIGSTOP)


def parse(text: str) -> list[_Action]:
    """Return the actions that the text asks for.

    Raises:
        ValueError: a place or an action is unknown; the text says which.

    """
    return [_parse_one(part.strip()) for part in text.split(",") if part.strip()]


def _parse_one(part: str) -> _Action:
    place, _, rest = part.partition("=")
    what, _, at = rest.partition("@")
    name, _, seconds = what.partition(":")
    if not any(known == place or (place[-1:] == "*" and known.startswith(place[:-1])) for known in PLACES):
        msg = f"{PLACES_VARIABLE}: unknown place {place!r}"
        raise ValueError(msg)
    if name not in ("kill", "stop", "delay") or (name == "delay") != bool(seconds):
        msg = f"{PLACES_VARIABLE}: {place} must be kill, stop or delay:SECONDS, got {rest!r}"
        raise ValueError(msg)
    times = None if at == "*" else int(at or 1)
    if times is not None and times < 1:
        msg = f"{PLACES_VARIABLE}: {place} must be reached at least once, got @{at}"
        raise ValueError(msg)
    return _Action(place, name, float(seconds or 0), times)


def _nothing(_place: str) -> None:
    """Do nothing: nobody asked."""


def _armed(actions: Sequence[_Action]) -> Callable[[str], None]:
    def reached(place: str) -> None:
        for action in actions:
            if action.meets(place):
                action.reached()

    return reached


def arm(environ: Mapping[str, str]) -> Callable[[str], None]:
    """Return what `hit` is under these variables."""
    text = environ.get(PLACES_VARIABLE, "")
    return _armed(parse(text)) if text else _nothing


hit: Callable[[str], None] = arm(os.environ)
clock_offset_seconds: float = float(os.environ.get(OFFSET_VARIABLE, "0"))
