"""How much an external service is asked for, by all workers of a queue together: one pure step.

A worker says at once what it uses, what it could use, and what became of its calls; the answer is what
it may begin. Times are seconds since the epoch on the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from jobqueue_core.domain.circuit import (
    Circuit,
    CircuitPolicy,
    CircuitState,
    Probe,
    conclude,
    let_through,
    record,
)
from jobqueue_core.domain.job import AttemptOutcome
from jobqueue_core.domain.pacing import free_at, reserve
from jobqueue_core.domain.shares import Holder, hold

if TYPE_CHECKING:
    from jobqueue_core.domain.outcome import Outcome

_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503
# A worker that may not make the probe looks so often what has become of it.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """The limits of one queue.

    Attributes:
        per_second: calls begun a second; None: no limit.
        concurrent: calls at a time; None: no limit.
        pause_max_seconds: the longest Retry-After that is honoured.
        circuit: when calls are stopped.

    """

    per_second: float | None = None
    concurrent: int | None = None
    pause_max_seconds: float = 3600.0
    circuit: CircuitPolicy = field(default_factory=CircuitPolicy)

    @property
    def is_limited(self) -> bool:
        """Whether each call needs a permit."""
        return self.per_second is not None or self.concurrent is not None


class Reason(StrEnum):
    """Why no call may begin."""

    PAUSED = "paused"
    """The service asked for it (Retry-After)."""
    OPEN = "open"
    """Its circuit is open."""
    PROBING = "probing"
    """Its circuit is half-open, and the one call is being made."""
    READY = "ready"
    """Its circuit is half-open, and whoever has a call at hand may ask for the one."""


@dataclass(frozen=True, slots=True)
class Block:
    """No call may begin before `until`; then it is time to ask again."""

    reason: Reason
    until: float


@dataclass(frozen=True, slots=True)
class FlowState:
    """What all workers of a queue share.

    Attributes:
        queue: its name.
        version: grows with each write; 0: not written yet.
        next_at: the first moment of the rate's time line that is free.
        holders: who has permits of the concurrency limit.
        circuit: of the external service.
        paused_until: the end of the pause that the service asked for; 0: none.

    """

    queue: str
    version: int = 0
    next_at: float = 0.0
    holders: tuple[Holder, ...] = ()
    circuit: Circuit = field(default_factory=Circuit)
    paused_until: float = 0.0

    def block(self, now: float) -> Block | None:
        """Return what stops every call now, but for a probe that is under way."""
        if now < self.paused_until:
            return Block(Reason.PAUSED, self.paused_until)
        if self.circuit.open_until is not None and now < self.circuit.open_until:
            return Block(Reason.OPEN, self.circuit.open_until)
        return None

    def is_stopped(self, now: float) -> bool:
        """Whether more workers would have nothing to do: paused, or the circuit is not closed."""
        return now < self.paused_until or self.circuit.state(now) is not CircuitState.CLOSED


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe showed; None: its call was not made, or shows nothing."""

    probe: Probe
    succeeded: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """The word of one worker.

    Attributes:
        worker: its id.
        calls: calls under way, and those about to begin.
        wanted: calls that it could begin besides.
        moments: moments of the rate that it wants beside those it has.
        reserved: moments that it has.
        ending: calls under way that will probably have ended when it speaks again.
        ok: calls answered since the last word.
        failed: calls since then that failed in a way that says something of the service.
        retry_after_seconds: the longest Retry-After since then; None: none.
        verdict: what its probe showed.
        probe: the probe that it knows of.

    """

    worker: str
    calls: int = 0
    wanted: int = 0
    moments: int = 0
    reserved: int = 0
    ending: int = 0
    ok: int = 0
    failed: int = 0
    retry_after_seconds: float | None = None
    verdict: Verdict | None = None
    probe: Probe | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the worker may do.

    Attributes:
        block: why no call may begin, but for a probe; None when calls may.
        probe: the right to one call in spite of a half-open circuit.
        moments: at which calls may begin, where there is a rate.
        held: permits that are the worker's own, those in use included, where there is a limit.
        usable: calls that it may have under way; fewer than it holds when others are short.
        held_until: the end of their lease.
        ask_again_at: when more may be had, if not everything was.
        is_contended: others want permits, too: what is not used is to be given back soon.
        is_failing: failures are remembered, so that successes are to be told soon.

    """

    block: Block | None = None
    probe: Probe | None = None
    moments: tuple[float, ...] = ()
    held: int = 0
    usable: int = 0
    held_until: float = 0.0
    ask_again_at: float = 0.0
    is_contended: bool = False
    is_failing: bool = False


def step(state: FlowState, request: FlowRequest, policy: FlowPolicy, now: float) -> tuple[FlowState, Grant]:
    """Return the state after a worker's word, and what it may do.

    The state is equal to the one before where nothing has changed: then there is nothing to write. Else
    its version is one higher.
    """
    told = replace(
        state,
        circuit=_circuit(state.circuit, request, policy.circuit, now),
        paused_until=_paused_until(state.paused_until, request, policy, now),
    )
    block = told.block(now)
    if block is None and told.circuit.state(now) is CircuitState.HALF_OPEN:
        after, grant = _probing(told, request, policy, now)
    else:
        after, grant = _granted(told, request, policy, now, most=0 if block else None)
        grant = replace(grant, block=block)
    grant = replace(grant, is_failing=after.circuit.failing(policy.circuit, now))
    return (after if after == state else replace(after, version=state.version + 1)), grant


def _probing(
    state: FlowState, request: FlowRequest, policy: FlowPolicy, now: float
) -> tuple[FlowState, Grant]:
    """Let one call of one worker through, if it has all that the limits ask for as well."""
    circuit, probe = let_through(state.circuit, request.worker, policy=policy.circuit, now=now)
    if probe is None or probe == request.probe:
        after, grant = _granted(state, request, policy, now, most=0)
        return after, replace(grant, block=Block(Reason.PROBING, now + _LOOK_SECONDS))
    after, grant = _granted(replace(state, circuit=circuit), request, policy, now, most=1)
    has_moment = policy.per_second is None or grant.moments
    has_permit = policy.concurrent is None or grant.usable > request.calls
    if request.wanted and has_moment and has_permit:
        return after, replace(grant, block=Block(Reason.PROBING, probe.deadline), probe=probe)
    after, grant = _granted(state, request, policy, now, most=0)
    return after, replace(grant, block=Block(Reason.READY, max(now, grant.ask_again_at)))


def _granted(
    state: FlowState, request: FlowRequest, policy: FlowPolicy, now: float, *, most: int | None
) -> tuple[FlowState, Grant]:
    """Give what the limits allow, and no more than `most` calls."""
    wanted = request.wanted if most is None else min(request.wanted, most)
    moments = request.moments if most is None else min(wanted, most)
    grant = Grant()
    if policy.concurrent is not None:
        holders, mine, usable = hold(
            state.holders,
            request.worker,
            calls=request.calls,
            wanted=wanted,
            limit=policy.concurrent,
            now=now,
        )
        state = replace(state, holders=holders)
        grant = replace(
            grant,
            held=mine.held,
            usable=usable,
            held_until=mine.expires_at,
            is_contended=sum(each.wanted for each in holders) > policy.concurrent,
        )
        # A moment without a permit would pass unused.
        begin = usable - request.calls + min(request.ending, usable)
        moments = min(moments, max(0, begin - request.reserved))
    elif state.holders:
        # The limit has been taken out.
        state = replace(state, holders=())
    if policy.per_second is not None:
        next_at, given = reserve(state.next_at, wanted=moments, per_second=policy.per_second, now=now)
        state = replace(state, next_at=next_at)
        grant = replace(grant, moments=given, ask_again_at=free_at(next_at))
    return state, grant


def _circuit(circuit: Circuit, request: FlowRequest, policy: CircuitPolicy, now: float) -> Circuit:
    if not policy.enabled:
        return Circuit()
    if request.verdict is not None:
        verdict = request.verdict
        circuit = conclude(circuit, verdict.probe, succeeded=verdict.succeeded, policy=policy, now=now)
    return record(circuit, ok=request.ok, failed=request.failed, policy=policy, now=now)


def _paused_until(paused_until: float, request: FlowRequest, policy: FlowPolicy, now: float) -> float:
    if request.retry_after_seconds is None:
        return paused_until
    return max(paused_until, now + min(request.retry_after_seconds, policy.pause_max_seconds))


def judge_service(outcome: Outcome) -> bool | None:
    """Tell what a call shows of the service: it works, it does not (False), or nothing (None).

    A refusal (4xx) comes from a service that works. 429 asks for patience, which a pause gives; and what
    became of a call that its worker broke off is not known.
    """
    if outcome.kind in (AttemptOutcome.SUCCEEDED, AttemptOutcome.REJECTED):
        return True
    if outcome.kind is AttemptOutcome.RETRYABLE and outcome.code != _TOO_MANY_REQUESTS:
        return False
    return None


def asked_pause(outcome: Outcome) -> float | None:
    """Return for how long the service asked to be left alone by everybody: Retry-After of 429 and 503."""
    return outcome.retry_after_seconds if outcome.code in (_TOO_MANY_REQUESTS, _UNAVAILABLE) else None
