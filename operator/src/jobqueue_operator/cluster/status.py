"""The status of a JobQueue, from what was seen and decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobqueue_operator.cluster.conditions import conditions_of, stamped
from jobqueue_operator.scaling import QueueCounts, drain_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jobqueue_operator.cluster.conditions import Problem
    from jobqueue_operator.scaling import Decision, Observation, Suspend

Status = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a status is made of.

    Attributes:
        generation: Of the spec that was acted on.
        suspend: From the spec.
        concurrency: Jobs that one worker runs at once.
        problem: What is wrong with the JobQueue or its target; None when nothing is.
        unread: Why queue or store cannot be read; None when they can.
        decision: The newest; None before the first.
        seen: What it was decided on.
        dead_letters: Messages in the dead-letter queue; None when unknown.
        replicas: Workers that the target asks for; None when there is no target.
        ready: Of those, ready.
        selector: Label selector of the workers' pods.
        queue_url: URL of the queue; None while it is unknown.
        dead_letter_url: URL of its dead-letter queue.
        jobs: Name by which jobs name the queue.
    """

    generation: int
    suspend: Suspend
    concurrency: int
    problem: Problem | None
    unread: Problem | None = None
    decision: Decision | None = None
    seen: Observation | None = None
    dead_letters: int | None = None
    replicas: int | None = None
    ready: int = 0
    selector: str | None = None
    queue_url: str | None = None
    dead_letter_url: str | None = None
    jobs: str | None = None


def status_of(facts: Facts, before: Mapping[str, Any], now: datetime) -> Status:
    """Return the whole status; what is not known any more is null, so that a merge takes it away."""
    time = rfc3339(now)
    conditions = conditions_of(facts.problem, facts.unread, facts.decision, facts.suspend)
    status: Status = {
        "observedGeneration": facts.generation,
        "replicas": facts.replicas or 0,
        "readyReplicas": facts.ready,
        "selector": facts.selector,
        "queue": _queue(facts),
        "deadLetters": facts.dead_letters,
        "conditions": stamped(
            conditions, before.get("conditions") or (), generation=facts.generation, now=time
        ),
        **_readings(facts, before),
        **_decided(facts.decision, before, time),
    }
    return status


def _queue(facts: Facts) -> Status | None:
    if facts.queue_url is None:
        return None
    return {"url": facts.queue_url, "deadLetterUrl": facts.dead_letter_url, "jobs": facts.jobs}


def _readings(facts: Facts, before: Mapping[str, Any]) -> Status:
    """What was read; null where the reading failed: an old number would be taken for a new one."""
    seen = facts.seen
    names = ("backlog", "oldestAgeSeconds", "arrivalPerSecond", "serviceSeconds", "drainSeconds")
    if seen is None:
        return dict.fromkeys(names)
    readings: Status = dict.fromkeys(names)
    if isinstance(seen.queue, QueueCounts):
        queue = seen.queue
        readings["backlog"] = {
            "visible": queue.visible,
            "inFlight": queue.in_flight,
            "delayed": queue.delayed,
        }
        waiting = queue.visible + seen.busy_slots
        if isinstance(seen.store_waiting, int):
            waiting = max(waiting, seen.store_waiting)
        drain = drain_seconds(waiting, seen.service_seconds, facts.concurrency, facts.ready)
        readings["drainSeconds"] = None if drain is None else round(drain)
    if seen.oldest_age_seconds is not None:
        readings["oldestAgeSeconds"] = round(seen.oldest_age_seconds)
    for name, rate in (
        ("arrivalPerSecond", seen.arrival_per_second),
        ("serviceSeconds", seen.service_seconds),
    ):
        # Measured over some time: what was measured before the operator began anew is the best there is.
        readings[name] = before.get(name) if rate is None else _significant(rate)
    return readings


def _decided(decision: Decision | None, before: Mapping[str, Any], time: str) -> Status:
    """The newest change, or the newest reason for keeping the number; at rest it stays as it is."""
    last, scaled = before.get("lastDecision"), before.get("lastScaleTime")
    if decision is None:
        return {
            "desiredReplicas": before.get("desiredReplicas"),
            "lastDecision": last,
            "lastScaleTime": scaled,
        }
    new = {
        "from": decision.from_,
        "to": decision.to,
        "wanted": decision.wanted,
        "limitedBy": None if decision.limited_by is None else str(decision.limited_by),
        "reason": str(decision.reason),
    }
    # A number that is kept does not hide why it became what it is.
    if decision.changed or last is None:
        last = {**new, "time": time, "message": decision.message[:1024]}
    return {
        "desiredReplicas": decision.to,
        "lastDecision": last,
        "lastScaleTime": time if decision.changed else scaled,
    }


def worth_writing(new: Status, old: Mapping[str, Any]) -> bool:
    """Tell whether anything but a sentence has changed: at rest nothing is written."""
    return _without_words(new) != _without_words(old)


def _without_words(status: Mapping[str, Any]) -> Status:
    known = {key: value for key, value in status.items() if value is not None}
    known["conditions"] = [
        {key: value for key, value in condition.items() if key != "message"}
        for condition in status.get("conditions") or ()
    ]
    for key in ("lastDecision", "queue"):
        if key in known:
            known[key] = {name: value for name, value in known[key].items() if value is not None}
    return known


def _significant(value: float) -> float:
    """Three digits: a number that trembles in the fourth is no news."""
    return float(f"{value:.3g}")


def rfc3339(moment: datetime) -> str:
    """Return a time as the API server writes it: RFC 3339, UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
