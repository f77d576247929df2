"""The races that the protocol has to decide."""

from __future__ import annotations

from jobqueue_testsupport.model.interleavings import Situation

_RUNNING = ("submit attempts=2", "flow api", "flow w1")
_TAKEN = ("submit attempts=2", "flow api", "step w1.receive", "step w1.receive")

SITUATIONS = [
    Situation("a submission and its delivery", ("submit attempts=1",), ("api", "w1")),
    Situation(
        "one message in two workers' hands",
        (*_TAKEN, "redeliver 0", "step w2.receive", "step w2.receive"),
        ("w1", "w2"),
        ("answer 0 ok",),
        ("receive",),
    ),
    Situation(
        "a lease that ends while it is being extended",
        (*_RUNNING, "advance 16", "advance 10"),
        ("w1", "relay1"),
        ("answer 0 ok",),
        ("receive",),
    ),
    Situation(
        "an outcome that comes after the lease's end",
        (*_RUNNING, "advance 26", "answer 0 unavailable", "step w2.receive", "step w2.receive"),
        ("w1", "w2"),
        still=("receive",),
    ),
    Situation("a cancel against an outcome", (*_RUNNING, "answer 0 ok", "cancel 0"), ("api", "w1")),
    Situation(
        "a cancel against a claim",
        (*_TAKEN, "cancel 0"),
        ("api", "w1"),
        ("retry 0",),
        ("receive",),
    ),
    Situation(
        "two retries against a dead letter",
        (*_RUNNING, "answer 0 rejected", "flow w1 to dead_letter", "retry 0", "retry 0"),
        ("api", "w1"),
        still=("receive",),
    ),
    Situation(
        "two who pay a dead letter, and a retry",
        (*_RUNNING, "answer 0 rejected", "flow w1 to dead_letter", "advance 6"),
        ("w1", "relay1"),
        ("retry 0", "flow api"),
    ),
    Situation(
        "a send that is noted late",
        ("submit attempts=1", "step api.insert", "step api.insert", "step api.send", "advance 6"),
        ("api", "relay1", "w1"),
    ),
    Situation(
        "two relays that send one job",
        ("submit", "step api.insert", "step api.insert", "step api.send", "crash api", "advance 6"),
        ("relay1", "relay2"),
    ),
    Situation(
        "a relay, and a worker that was quicker",
        ("submit", "step api.insert", "step api.insert", "step api.send", "crash api", "advance 6"),
        ("relay1", "w1"),
    ),
    Situation(
        "a scheduled job whose time has come, and a cancel",
        ("submit delay=5", "flow api", "advance 6", "cancel 0"),
        ("api", "relay1", "relay2"),
    ),
    Situation(
        "a worker that is stopped",
        ("submit attempts=1", "submit attempts=1", "submit attempts=1", "flow api", "flow w1"),
        ("w1",),
        ("stop w1", "advance 9"),
        ("receive",),
    ),
    Situation(
        "a long call, and everybody prompt",
        (*_RUNNING, "live 31"),
        ("w1",),
        ("answer 0 ok",),
    ),
    Situation(
        "a message that comes twice to one worker",
        (*_RUNNING, "redeliver 0"),
        ("w1",),
        ("answer 0 ok",),
    ),
    Situation(
        "a redrive against a retry",
        (
            *("submit attempts=1", "flow api", "flow w1", "answer 0 rejected", "flow w1", "live 0.5"),
            *("redrive", "retry 0", "flow api to apply", "advance 3"),
        ),
        ("relay1", "api"),
    ),
    Situation(
        "a last attempt that died",
        ("submit attempts=1", "flow api", "flow w1", "crash w1", "advance 26"),
        ("w2", "relay1"),
    ),
]
