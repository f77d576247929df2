"""Runs that broke a promise once: with a protection taken out, or of the product as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Kept:
    """A run.

    Attributes:
        name: what happens in it.
        moves: as they were made.
        mutation: the protection without which it fails; None: it failed by itself.
        violation: how it fails then.

    """

    name: str
    moves: Sequence[str]
    mutation: str | None = None
    violation: str = ""


_W1_HAS_IT = ("submit attempts=2", "flow api", "step w1.receive", "step w1.receive", "redeliver 0")
_W1_CLAIMS = ("step w1.get_many", "step w1.get_many", "step w1.apply", "step w1.apply")

KEPT = [
    Kept(
        "a claim lands on the state that another claim has left",
        (*_W1_HAS_IT, "flow w2 to apply", *_W1_CLAIMS, "step w2.apply"),
        "token of the guard",
        "taken away by w2",
    ),
    Kept(
        "a relay sends what a worker has begun meanwhile",
        (
            *("submit attempts=1", "step api.insert", "step api.insert", "step api.send", "advance 6"),
            *("step api.send", "step relay1.due", "step relay1.due"),
            *("step w1.receive", "step w1.receive", *_W1_CLAIMS, "step relay1.apply"),
        ),
        "guard of the relay",
        "taken away by relay1",
    ),
    Kept(
        "a second worker begins what the first one holds",
        (*_W1_HAS_IT, *_W1_CLAIMS, "flow w2"),
        "check of the lease",
        "taken away by w2",
    ),
    Kept(
        "a lease is extended between the look of another worker and its claim",
        (
            *("submit attempts=2", "flow api", "flow w1", "advance 26", "answer 0 unavailable"),
            *("step w2.receive", "step w2.receive", "step w1.change_visibility", "step w1.change_visibility"),
            *("step w2.get_many", "step w2.get_many", "step w1.apply#1", "step w1.apply#1", "step w2.apply"),
        ),
        "end of the lease in the guard",
        "taken away by w2",
    ),
    Kept(
        "a worker dies in mid-call",
        ("submit attempts=1", "flow api", "flow w1", "crash w1", "advance 26", "live 3"),
        "attempt counted before its call",
        "not counted",
    ),
    Kept(
        "a dead letter goes out before the failure is written down",
        ("submit attempts=2", "flow api", "flow w1", "answer 0 rejected", "flow w1"),
        "outcome before message",
        "a dead letter of a job that has not failed",
    ),
    Kept(
        "a message goes out before its job is stored",
        ("submit attempts=1", "step api.send"),
        "job before message",
        "before its job was stored",
    ),
    Kept(
        "the API dies between the note of a send and the send",
        ("submit", "step api.insert", "step api.insert", "step api.offer", "crash api"),
        "send before its note",
        "never sent",
    ),
    Kept(
        "a worker dies between the note of a dead letter and the letter",
        (
            "submit attempts=1",
            "flow api",
            "flow w1",
            "answer 0 rejected",
            "flow w1 to dead_letter",
            "crash w1",
        ),
        "dead letter before its note",
        "no dead letter",
    ),
    Kept(
        "a call takes longer than a lease",
        ("submit attempts=2", "flow api", "flow w1", "live 31"),
        "heartbeat",
        "lost though nothing went wrong",
    ),
    Kept(
        "a worker gets a message twice and ends it with the first receipt",
        ("submit attempts=2", "flow api", "flow w1", "redeliver 0", "flow w1", "answer 0 ok", "flow w1"),
        "newest receipt",
        "never comes to rest",
    ),
    Kept(
        "the API dies after a retry by hand, before it sends",
        (
            *("submit", "flow api", "step w1.receive", "step w1.receive", "cancel 0", "flow api"),
            *("flow w1", "live 0.5", "retry 0", "flow api to send", "crash api"),
        ),
        "debt of a job that is run again",
        "nobody looks at",
    ),
    Kept(
        "a retry by hand lands after the note of the dead letter, in the same millisecond",
        (
            *("submit attempts=2", "flow api", "flow w1", "answer 0 rejected", "flow w1 to dead_letter"),
            *("retry 0", "step api.get", "step api.get", "flow w1", "flow api to send", "crash api"),
        ),
    ),
]
