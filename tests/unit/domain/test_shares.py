from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jobqueue_core.domain.shares import LEASE_SECONDS, TURN_SECONDS, Holder, fair_shares, hold

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("limit", "wants", "shares"),
    [
        (10, {"a": 3, "b": 4}, {"a": 3, "b": 4}),
        (10, {"a": 20, "b": 20}, {"a": 5, "b": 5}),
        (10, {"a": 2, "b": 20, "c": 20}, {"a": 2, "b": 4, "c": 4}),
        (9, {"a": 2, "b": 20, "c": 3, "d": 20}, {"a": 2, "b": 3, "c": 2, "d": 2}),
        (1, {"a": 1}, {"a": 1}),
        (5, {"a": 0}, {"a": 0}),
    ],
)
def test_a_limit_is_divided_fairly(limit: int, wants: dict[str, int], shares: dict[str, int]) -> None:
    assert fair_shares(limit, wants, 0) == shares


def test_an_indivisible_rest_goes_round() -> None:
    wants = dict.fromkeys("abcde", 5)
    served = [{name for name, share in fair_shares(2, wants, turn).items() if share} for turn in range(5)]
    assert all(len(names) == 2 for names in served)
    assert set().union(*served) == set("abcde")


@given(st.integers(1, 50), st.dictionaries(st.text("abcdef", min_size=1), st.integers(0, 30)), st.integers(0))
def test_shares_use_the_limit_up_and_nobody_has_much_more(
    limit: int, wants: dict[str, int], turn: int
) -> None:
    shares = fair_shares(limit, wants, turn)
    assert sum(shares.values()) == min(limit, sum(wants.values()))
    assert all(0 <= shares[name] <= want for name, want in wants.items())
    short = [shares[name] for name, want in wants.items() if shares[name] < want]
    assert max(shares.values(), default=0) - min(short, default=limit) <= 1


def test_a_dead_workers_permits_come_free_when_its_lease_ends() -> None:
    holders, mine, usable = hold((), "dead", calls=0, wanted=10, limit=10, now=NOW)
    assert (mine.held, usable) == (10, 10)
    early = NOW + LEASE_SECONDS - 0.001
    assert hold(holders, "alive", calls=0, wanted=4, limit=10, now=early)[1].held == 0
    assert hold(holders, "alive", calls=0, wanted=4, limit=10, now=NOW + LEASE_SECONDS)[1].held == 4


def test_a_greedy_worker_gives_its_surplus_back_as_its_calls_end() -> None:
    holders, _, _ = hold((), "greedy", calls=0, wanted=10, limit=10, now=NOW)
    holders, late, usable = hold(holders, "late", calls=0, wanted=10, limit=10, now=NOW)
    assert (late.held, usable) == (0, 0)
    holders, greedy, usable = hold(holders, "greedy", calls=10, wanted=0, limit=10, now=NOW)
    assert (greedy.held, usable) == (10, 5)
    holders, greedy, usable = hold(holders, "greedy", calls=7, wanted=3, limit=10, now=NOW)
    assert (greedy.held, usable) == (7, 5)
    assert hold(holders, "late", calls=0, wanted=10, limit=10, now=NOW)[1].held == 3


def test_who_needs_nothing_is_forgotten() -> None:
    holders, _, _ = hold((), "w", calls=0, wanted=3, limit=10, now=NOW)
    assert hold(holders, "w", calls=0, wanted=0, limit=10, now=NOW)[0] == ()


def test_a_lease_is_not_written_anew_each_time() -> None:
    holders, _, _ = hold((), "w", calls=0, wanted=3, limit=10, now=NOW)
    assert hold(holders, "w", calls=2, wanted=1, limit=10, now=NOW + 9)[0] == holders
    assert hold(holders, "w", calls=2, wanted=1, limit=10, now=NOW + 10)[0] != holders


@dataclass
class Worker:
    """A worker that begins calls only as its newest answer says."""

    calls: int = 0
    usable: int = 0
    held: int = 0
    held_until: float = 0.0
    is_alive: bool = True
    ends: list[float] = field(default_factory=list)


class SharedLimit(RuleBasedStateMachine):
    """Workers that come, go, die and stand still; the calls of the dead are cut off with them."""

    LIMIT = 7

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.holders: tuple[Holder, ...] = ()
        self.workers = {name: Worker() for name in "abcd"}

    @rule(name=st.sampled_from("abcd"), wanted=st.integers(0, 9), is_lost=st.booleans())
    def speak(self, name: str, wanted: int, is_lost: bool) -> None:  # noqa: FBT001
        worker = self.workers[name]
        if not worker.is_alive:
            return
        self.holders, mine, usable = hold(
            self.holders, name, calls=worker.calls, wanted=wanted, limit=self.LIMIT, now=self.now
        )
        if is_lost:
            # Its answer never came: it goes on with what both answers allow.
            worker.usable = min(worker.usable, usable)
        else:
            worker.held, worker.usable, worker.held_until = mine.held, usable, mine.expires_at

    @rule(name=st.sampled_from("abcd"))
    def begin(self, name: str) -> None:
        worker = self.workers[name]
        if worker.is_alive and worker.calls < worker.usable and self.now < worker.held_until:
            worker.calls += 1

    @rule(name=st.sampled_from("abcd"))
    def end(self, name: str) -> None:
        worker = self.workers[name]
        worker.calls = max(0, worker.calls - 1)

    @rule(name=st.sampled_from("abcd"))
    def die(self, name: str) -> None:
        self.workers[name] = Worker(is_alive=False)

    @rule(name=st.sampled_from("abcd"))
    def come_back(self, name: str) -> None:
        if not self.workers[name].is_alive and name not in {each.worker for each in self.holders}:
            self.workers[name] = Worker()

    @rule(seconds=st.sampled_from([0.1, TURN_SECONDS, LEASE_SECONDS / 2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for worker in self.workers.values():
            # No call is longer than a lease without its worker speaking.
            if worker.held_until <= self.now:
                worker.calls = 0

    @invariant()
    def no_more_calls_than_the_limit(self) -> None:
        assert sum(worker.calls for worker in self.workers.values()) <= self.LIMIT

    @invariant()
    def no_more_permits_than_the_limit(self) -> None:
        assert sum(each.held for each in self.holders if each.expires_at > self.now) <= self.LIMIT


TestSharedLimit = SharedLimit.TestCase
