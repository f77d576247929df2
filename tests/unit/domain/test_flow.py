from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jobqueue_core.domain.circuit import Circuit, CircuitPolicy, Probe
from jobqueue_core.domain.flow import (
    Block,
    FlowPolicy,
    FlowRequest,
    FlowState,
    Grant,
    Reason,
    Verdict,
    asked_pause,
    judge_service,
    step,
)
from jobqueue_core.domain.job import JobResult
from jobqueue_core.domain.outcome import (
    Outcome,
    of_answer,
    of_connection_error,
    of_stopped_worker,
    of_timeout,
)

NOW = 1_000_000.0
FREE = FlowPolicy()
EMPTY = FlowState("jobs")


def answer(code: int, retry_after: float | None = None) -> Outcome:
    return of_answer(code, JobResult(code, ""), retry_after)


def said(
    state: FlowState, policy: FlowPolicy = FREE, *, now: float = NOW, worker: str = "w", **word: object
) -> tuple[FlowState, Grant]:
    request = replace(FlowRequest(worker=worker), **word)  # type: ignore[arg-type] # fields of the dataclass
    return step(state, request, policy, now)


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (answer(200), True),
        (answer(404), True),
        (answer(500), False),
        (answer(503, 5), False),
        (answer(408), False),
        (answer(429, 5), None),
        (of_timeout(30), False),
        (of_connection_error("refused"), False),
        (of_stopped_worker(), None),
    ],
)
def test_what_a_call_shows_of_the_service(outcome: Outcome, shown: bool | None) -> None:  # noqa: FBT001
    assert judge_service(outcome) is shown


@pytest.mark.parametrize(
    ("outcome", "seconds"),
    [(answer(429, 7), 7), (answer(503, 7), 7), (answer(500, 7), None), (answer(429), None)],
)
def test_the_whole_queue_is_paused_by_retry_after_of_429_and_503(
    outcome: Outcome, seconds: float | None
) -> None:
    assert asked_pause(outcome) == seconds


def test_a_word_that_changes_nothing_is_not_written() -> None:
    assert said(EMPTY, wanted=5) == (EMPTY, Grant())
    after, _ = said(EMPTY, ok=3)
    assert after.version == 1


def test_a_pause_stops_everybody_and_is_bounded() -> None:
    policy = FlowPolicy(pause_max_seconds=60)
    state, grant = said(EMPTY, policy, retry_after_seconds=10)
    assert grant.block == Block(Reason.PAUSED, NOW + 10)
    state, grant = said(state, policy, worker="other", retry_after_seconds=3, wanted=1)
    assert grant.block == Block(Reason.PAUSED, NOW + 10)
    state, grant = said(state, policy, worker="other", retry_after_seconds=86_400)
    assert grant.block == Block(Reason.PAUSED, NOW + 60)
    assert said(state, policy, wanted=1, now=NOW + 60)[1].block is None


def test_no_permit_is_given_while_paused() -> None:
    policy = FlowPolicy(per_second=10, concurrent=10)
    state, _ = said(EMPTY, policy, retry_after_seconds=10)
    state, grant = said(state, policy, calls=2, wanted=4, moments=4)
    assert (grant.moments, grant.held, grant.usable) == ((), 2, 2)
    state, grant = said(state, policy, calls=2, wanted=4, moments=4, now=NOW + 10)
    assert (len(grant.moments), grant.held, grant.usable) == (2, 6, 6)


def test_no_moment_is_reserved_that_has_no_permit() -> None:
    policy = FlowPolicy(per_second=100, concurrent=2)
    state, grant = said(EMPTY, policy, wanted=5, moments=5)
    assert (grant.usable, len(grant.moments)) == (2, 2)
    state, grant = said(state, policy, calls=2, wanted=3, moments=3)
    assert grant.moments == ()
    state, grant = said(state, policy, calls=2, wanted=3, moments=3, ending=1)
    assert len(grant.moments) == 1
    assert said(state, policy, calls=2, wanted=3, moments=3, ending=1, reserved=1)[1].moments == ()


def test_a_circuit_that_is_switched_off_is_closed() -> None:
    state = FlowState("jobs", version=1, circuit=Circuit(open_until=NOW + 30))
    assert said(state)[1].block == Block(Reason.OPEN, NOW + 30)
    off = FlowPolicy(circuit=CircuitPolicy(enabled=False))
    after, grant = said(state, off, failed=1000)
    assert grant.block is None
    assert after.circuit == Circuit()


def half_open(now: float = NOW) -> FlowState:
    return FlowState("jobs", version=1, circuit=Circuit(open_until=now))


def test_a_half_open_circuit_lets_one_call_through() -> None:
    state, grant = said(half_open(), wanted=9)
    assert grant.probe == Probe("w", NOW + 45)
    assert grant.block == Block(Reason.PROBING, NOW + 45)
    again, other = said(state, worker="other", wanted=9)
    assert again == state
    assert (other.probe, other.block) == (None, Block(Reason.PROBING, NOW + 0.5))
    again, mine = said(state, wanted=8, calls=1, probe=grant.probe)
    assert again == state
    assert (mine.probe, mine.block) == (None, Block(Reason.PROBING, NOW + 0.5))


def test_a_worker_whose_answer_was_lost_gets_its_probe_again() -> None:
    state, grant = said(half_open(), wanted=9)
    again, repeated = said(state, wanted=9, now=NOW + 1)
    assert again == state
    assert repeated.probe == grant.probe


def test_who_has_no_call_at_hand_gets_no_probe() -> None:
    after, grant = said(half_open())
    assert after == half_open()
    assert grant.block == Block(Reason.READY, NOW)


def test_a_probe_needs_what_the_limits_ask_for_too() -> None:
    policy = FlowPolicy(per_second=1, concurrent=1)
    state = replace(half_open(), next_at=NOW + 5)
    after, grant = said(state, policy, wanted=3, moments=3)
    assert after.circuit.probe is None
    assert grant.block == Block(Reason.READY, NOW + 4.75)
    after, grant = said(after, policy, wanted=3, moments=3, now=NOW + 4.75)
    assert grant.probe is not None
    assert (grant.moments, grant.held) == ((NOW + 5,), 1)


def test_a_good_probe_opens_the_way_for_all() -> None:
    state, grant = said(half_open(), wanted=9)
    assert grant.probe is not None
    state, mine = said(state, verdict=Verdict(grant.probe, succeeded=True), wanted=8)
    assert mine.block is None
    assert said(state, worker="other", wanted=9)[1].block is None


def test_a_limit_that_is_taken_out_leaves_nothing_behind() -> None:
    state, _ = said(EMPTY, FlowPolicy(concurrent=2), wanted=2)
    assert state.holders
    assert said(state, FREE, wanted=2)[0].holders == ()


class Breaker(RuleBasedStateMachine):
    """Workers that probe, die, are late and lose answers: at most one call in a half-open circuit."""

    POLICY = FlowPolicy(circuit=CircuitPolicy(open_seconds=10, probe_seconds=20, minimum_calls=5))

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.state = EMPTY
        self.probes: dict[str, Probe] = {}

    @rule(
        worker=st.sampled_from("abc"),
        wanted=st.integers(0, 3),
        ok=st.integers(0, 2),
        failed=st.integers(0, 9),
        is_lost=st.booleans(),
    )
    def speak(self, worker: str, wanted: int, ok: int, failed: int, is_lost: bool) -> None:  # noqa: FBT001
        request = FlowRequest(
            worker=worker, wanted=wanted, ok=ok, failed=failed, probe=self.probes.get(worker)
        )
        was_closed = self.state.circuit.open_until is None
        self.state, grant = step(self.state, request, self.POLICY, self.now)
        if self.state.circuit.open_until is not None:
            assert grant.block is not None, "a call may begin though the circuit is not closed"
        if grant.probe is not None:
            assert not was_closed
            assert wanted > 0
            assert all(each.deadline <= self.now for other, each in self.probes.items() if other != worker)
            if not is_lost:
                self.probes[worker] = grant.probe

    @rule(worker=st.sampled_from("abc"), succeeded=st.sampled_from([True, False, None]))
    def conclude(self, worker: str, succeeded: bool | None) -> None:  # noqa: FBT001
        probe = self.probes.pop(worker, None)
        if probe is not None:
            is_current = self.state.circuit.probe == probe
            before = self.state.circuit
            request = FlowRequest(worker=worker, verdict=Verdict(probe, succeeded))
            self.state, _ = step(self.state, request, self.POLICY, self.now)
            assert is_current or self.state.circuit == before
            if is_current and succeeded:
                assert self.state.circuit == Circuit()

    @rule(worker=st.sampled_from("abc"))
    def die(self, worker: str) -> None:
        self.probes.pop(worker, None)

    @rule(seconds=st.sampled_from([0.1, 5.0, 10.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def a_dead_prober_stands_in_the_way_no_longer_than_its_deadline(self) -> None:
        later = self.now + 30
        request = FlowRequest(worker="new", wanted=1)
        _, grant = step(self.state, request, self.POLICY, later)
        assert grant.block is None or grant.probe is not None


TestBreaker = Breaker.TestCase
