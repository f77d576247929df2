"""The circuit breaker of an external service: when calls are stopped, and how they begin again.

Pure. Times are seconds since the epoch on the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

# Outcomes are counted in so many parts of the window; what is older than a window goes part by part.
_PARTS = 6


class CircuitState(StrEnum):
    """Whether calls may begin."""

    CLOSED = "closed"
    OPEN = "open"
    """No call begins."""
    HALF_OPEN = "half-open"
    """One call is let through to see whether the service is back."""


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When a queue's circuit opens.

    Attributes:
        enabled: False leaves it closed for good.
        window_seconds: outcomes of this time are judged together.
        minimum_calls: fewer outcomes in the window say nothing.
        failure_ratio: share of failed calls from which it opens.
        open_seconds: how long it stays open before one call is let through.
        probe_seconds: how long that call may take; then another worker may try.

    """

    enabled: bool = True
    window_seconds: float = 30.0
    minimum_calls: int = 20
    failure_ratio: float = 0.8
    open_seconds: float = 30.0
    probe_seconds: float = 45.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The right to the one call that is let through; the deadline tells one probe from the next."""

    worker: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Outcomes of one part of the window, which began at `at`."""

    at: float
    ok: int
    failed: int


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is remembered of a service's failures.

    Attributes:
        open_until: None while closed; afterwards when the first call may be let through.
        probe: who makes that call.
        window: the outcomes lately, the oldest first; empty unless closed.

    """

    open_until: float | None = None
    probe: Probe | None = None
    window: tuple[Counts, ...] = ()

    def state(self, now: float) -> CircuitState:
        """Return the state of now."""
        if self.open_until is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self.open_until else CircuitState.HALF_OPEN

    def failing(self, policy: CircuitPolicy, now: float) -> bool:
        """Whether a failure is remembered, so that successes are of interest, too."""
        return any(part.failed and now - part.at < policy.window_seconds for part in self.window)


def record(circuit: Circuit, *, ok: int, failed: int, policy: CircuitPolicy, now: float) -> Circuit:
    """Return the circuit after more outcomes; it opens when too many of the window have failed.

    While it is not closed they change nothing: they are of calls that began before it opened.
    """
    if circuit.open_until is not None or not ok + failed:
        return circuit
    window = [part for part in circuit.window if now - part.at < policy.window_seconds]
    if window and now - window[-1].at < policy.window_seconds / _PARTS:
        last = window.pop()
        window.append(Counts(last.at, last.ok + ok, last.failed + failed))
    else:
        window.append(Counts(now, ok, failed))
    bad = sum(part.failed for part in window)
    calls = bad + sum(part.ok for part in window)
    if bad and calls >= policy.minimum_calls and bad >= policy.failure_ratio * calls:
        return Circuit(open_until=now + policy.open_seconds)
    return Circuit(window=tuple(window))


def let_through(
    circuit: Circuit, worker: str, *, policy: CircuitPolicy, now: float
) -> tuple[Circuit, Probe | None]:
    """Give the worker the one call of a half-open circuit, unless another one has it.

    A worker that has it already gets it again: the answer that told it may have been lost.
    """
    if circuit.state(now) is not CircuitState.HALF_OPEN:
        return circuit, None
    probe = circuit.probe
    if probe is not None and now < probe.deadline:
        return circuit, probe if probe.worker == worker else None
    probe = Probe(worker, now + policy.probe_seconds)
    return replace(circuit, probe=probe), probe


def conclude(
    circuit: Circuit, probe: Probe, *, succeeded: bool | None, policy: CircuitPolicy, now: float
) -> Circuit:
    """Return the circuit after its probe: closed, open again, or (None: not called) free for the next.

    The word of a probe that has been replaced changes nothing.
    """
    if circuit.probe != probe:
        return circuit
    if succeeded is None:
        return replace(circuit, probe=None)
    return Circuit() if succeeded else Circuit(open_until=now + policy.open_seconds)
