"""The jobs of a run: what is submitted, and how the external service answers each of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobqueue_chaos.profile import ORDERED, STANDARD

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYS = 8
# What an attempt is answered: "ok", "500", "400", each with ":SECONDS" before the answer, "429:RETRY_AFTER",
# "hang" (never) or "drop" (the connection is closed). Steps of a run of the job, the last one for ever.
Run = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One job to be submitted.

    Attributes:
        key: its idempotency key, by which the harness knows it.
        kind: name of its behaviour, for the report.
        runs: the answers to the attempts of its first run, of the run after a retry by hand, and so on.
        queue: which queue.
        ordering_key: on the FIFO queue.
        delay_seconds: scheduled ahead by that.
        timeout_seconds: of one call; None: the queue's.
        max_attempts: None: the queue's.
        cancel_after_seconds: cancelled that long after it was accepted; None: not.
        by_redrive: what has failed is run again by a redrive in place of a retry by hand.

    """

    key: str
    kind: str
    runs: tuple[Run, ...]
    queue: str = STANDARD
    ordering_key: str | None = None
    delay_seconds: float | None = None
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    cancel_after_seconds: float | None = None
    by_redrive: bool = False

    @property
    def is_healthy(self) -> bool:
        """Whether the service never fails it."""
        return all(step.partition(":")[0] == "ok" for run in self.runs for step in run)

    @property
    def is_retried(self) -> bool:
        """Whether it is to be run again once it has failed."""
        return len(self.runs) > 1

    def body(self) -> dict[str, Any]:
        """Return the body of `POST /addJob`."""
        given = {
            "orderingKey": self.ordering_key,
            "delaySeconds": self.delay_seconds,
            "timeoutSeconds": self.timeout_seconds,
            "maxAttempts": self.max_attempts,
        }
        return {
            "queue": self.queue,
            "payload": {"key": self.key, "runs": [list(run) for run in self.runs]},
            "idempotencyKey": self.key,
            **{name: value for name, value in given.items() if value is not None},
        }


def answer_of(runs: list[list[str]], run: int, attempt: int) -> str:
    """Return the step for an attempt (from 1) of a run (from 0)."""
    steps = runs[min(run, len(runs) - 1)]
    return steps[min(attempt, len(steps)) - 1]


def _quick(_source: random.Random, seconds: float) -> dict[str, Any]:
    return {"runs": ((f"ok:{seconds}",),)}


@dataclass(frozen=True, slots=True)
class _Behaviour:
    weight: float
    make: Callable[[random.Random, float], dict[str, Any]] = field(default=_quick)


_BEHAVIOURS = {
    "quick": _Behaviour(50),
    "flaky": _Behaviour(12, lambda source, _: {"runs": (("500",) * source.randint(1, 2) + ("ok",),)}),
    "broken": _Behaviour(3, lambda *_: {"runs": (("500",),)}),
    "rejected": _Behaviour(4, lambda *_: {"runs": (("400",),)}),
    "throttled": _Behaviour(2, lambda *_: {"runs": (("429:1", "ok"),)}),
    "dropped": _Behaviour(1, lambda *_: {"runs": (("drop", "ok"),)}),
    "slow": _Behaviour(5, lambda *_: {"runs": (("ok:1.5",),)}),
    "longer than the lease": _Behaviour(2, lambda *_: {"runs": (("ok:6.5",),), "timeout_seconds": 20}),
    "hanging": _Behaviour(1, lambda *_: {"runs": (("hang", "ok"),), "timeout_seconds": 1}),
    "scheduled": _Behaviour(
        6, lambda source, _: {"runs": (("ok",),), "delay_seconds": round(source.uniform(1, 8), 1)}
    ),
    "cancelled": _Behaviour(
        3, lambda source, _: {"runs": (("ok:0.6",),), "cancel_after_seconds": source.uniform(0, 1.5)}
    ),
    "retried by hand": _Behaviour(2, lambda *_: {"runs": (("400",), ("500", "ok"))}),
    "redriven": _Behaviour(2, lambda *_: {"runs": (("400",), ("500", "ok")), "by_redrive": True}),
    "one attempt": _Behaviour(2, lambda *_: {"runs": (("500",),), "max_attempts": 1}),
    "ordered": _Behaviour(7),
}


def make_mix(
    seed: int, count: int, kinds: tuple[str, ...] | None = None, left_out: frozenset[str] = frozenset()
) -> list[JobSpec]:
    """Return the jobs of a run, in the order in which they are submitted."""
    source = random.Random(f"{seed} mix")
    names = [name for name in (_BEHAVIOURS if kinds is None else kinds) if name not in left_out]
    weights = [_BEHAVIOURS[name].weight for name in names]
    return [
        _spec(f"{seed}-{number}", name, source)
        for number, name in enumerate(source.choices(names, weights, k=count))
    ]


def _spec(key: str, kind: str, source: random.Random) -> JobSpec:
    given = _BEHAVIOURS[kind].make(source, round(source.expovariate(10), 2))
    if kind == "ordered":
        given["queue"] = ORDERED
        given["ordering_key"] = f"k{source.randrange(_KEYS)}"
        if source.random() < 0.1:
            given["runs"] = (("500", "ok"),)
    return JobSpec(key=key, kind=kind, **given)
