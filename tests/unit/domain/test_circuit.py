from __future__ import annotations

from jobqueue_core.domain.circuit import (
    Circuit,
    CircuitPolicy,
    CircuitState,
    Probe,
    conclude,
    let_through,
    record,
)

NOW = 1_000_000.0
POLICY = CircuitPolicy(
    window_seconds=30, minimum_calls=20, failure_ratio=0.8, open_seconds=30, probe_seconds=40
)


def after(circuit: Circuit, *outcomes: tuple[int, int], now: float = NOW) -> Circuit:
    for ok, failed in outcomes:
        circuit = record(circuit, ok=ok, failed=failed, policy=POLICY, now=now)
    return circuit


def opened(now: float = NOW) -> Circuit:
    return after(Circuit(), (0, 20), now=now)


def test_it_opens_when_enough_calls_of_the_window_have_failed() -> None:
    assert after(Circuit(), (4, 15)).state(NOW) is CircuitState.CLOSED
    assert after(Circuit(), (4, 15), (0, 1)).state(NOW) is CircuitState.OPEN
    assert after(Circuit(), (5, 15)).state(NOW) is CircuitState.CLOSED


def test_few_calls_never_open_it() -> None:
    assert after(Circuit(), (0, 19)).state(NOW) is CircuitState.CLOSED


def test_old_outcomes_are_forgotten() -> None:
    circuit = after(Circuit(), (0, 19))
    assert circuit.failing(POLICY, NOW + 29)
    assert not circuit.failing(POLICY, NOW + 30)
    assert after(circuit, (0, 1), now=NOW + 30).state(NOW + 30) is CircuitState.CLOSED


def test_outcomes_are_kept_in_a_few_parts_however_often_they_are_told() -> None:
    circuit = Circuit()
    for tenth in range(600):
        circuit = after(circuit, (1, 0), now=NOW + tenth / 10)
    assert len(circuit.window) <= 7
    assert 250 <= sum(part.ok for part in circuit.window) <= 300


def test_calls_that_end_while_it_is_open_change_nothing() -> None:
    circuit = opened()
    assert after(circuit, (100, 0), (0, 100), now=NOW + 5) == circuit


def test_one_worker_gets_the_one_call_when_the_time_is_over() -> None:
    circuit = opened()
    assert let_through(circuit, "a", policy=POLICY, now=NOW + 29.9) == (circuit, None)
    circuit, probe = let_through(circuit, "a", policy=POLICY, now=NOW + 30)
    assert probe == Probe("a", NOW + 70)
    assert let_through(circuit, "b", policy=POLICY, now=NOW + 31) == (circuit, None)
    assert let_through(circuit, "a", policy=POLICY, now=NOW + 31) == (circuit, probe)


def test_a_prober_that_died_is_replaced_and_its_late_word_ignored() -> None:
    circuit, first = let_through(opened(), "dead", policy=POLICY, now=NOW + 30)
    circuit, second = let_through(circuit, "alive", policy=POLICY, now=NOW + 70)
    assert first is not None
    assert second == Probe("alive", NOW + 110)
    assert conclude(circuit, first, succeeded=True, policy=POLICY, now=NOW + 71) == circuit
    assert conclude(circuit, second, succeeded=True, policy=POLICY, now=NOW + 72) == Circuit()


def test_a_failed_probe_opens_it_again() -> None:
    circuit, probe = let_through(opened(), "a", policy=POLICY, now=NOW + 30)
    assert probe is not None
    circuit = conclude(circuit, probe, succeeded=False, policy=POLICY, now=NOW + 40)
    assert circuit == Circuit(open_until=NOW + 70)


def test_a_probe_that_shows_nothing_is_free_for_the_next() -> None:
    circuit, probe = let_through(opened(), "a", policy=POLICY, now=NOW + 30)
    assert probe is not None
    circuit = conclude(circuit, probe, succeeded=None, policy=POLICY, now=NOW + 31)
    assert let_through(circuit, "b", policy=POLICY, now=NOW + 31)[1] == Probe("b", NOW + 71)
