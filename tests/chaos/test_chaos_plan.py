"""The plan of a run: everything from the seed, nothing left out."""

from __future__ import annotations

from itertools import islice

import pytest

from jobqueue_chaos.mix import answer_of, make_mix
from jobqueue_chaos.plan import CLOCKS_APART_SECONDS, Kind, Role, make_plan, places_of
from jobqueue_chaos.profile import LONG, ORDERED, QUICK, SHORT
from jobqueue_core.failpoints import PLACES


def test_same_seed_is_the_same_plan() -> None:
    one, other = make_plan(7, QUICK), make_plan(7, QUICK)
    assert one == other
    assert list(islice(one.arms(Role.API), 50)) == list(islice(other.arms(Role.API), 50))
    assert make_plan(8, QUICK) != one


def test_every_kind_of_fault_comes_once() -> None:
    assert sorted(fault.kind for fault in make_plan(1, LONG).faults) == sorted(Kind)
    assert [fault.kind for fault in make_plan(1, LONG, [Kind.FROZEN]).faults] == [Kind.FROZEN]


def test_long_outages_last_a_minute() -> None:
    seconds = {fault.kind: fault.seconds for fault in make_plan(1, LONG).faults}
    assert seconds[Kind.SQS_STOPPED] == seconds[Kind.MONGO_HUNG] == 60


def test_every_failpoint_is_armed_once_a_round() -> None:
    for role in Role:
        places = places_of(role)
        arms = list(islice(make_plan(3, LONG).arms(role), 2 * len(places)))
        for number in range(2):
            round_of = arms[number * len(places) : (number + 1) * len(places)]
            assert sorted(arm.place for arm in round_of) == sorted(places)
        assert all(1 <= arm.at <= LONG.arm_max for arm in arms)


def test_every_failpoint_but_the_operators_is_somebodys() -> None:
    ours = {place for role in Role for place in places_of(role)}
    assert ours == {place for place in PLACES if not place.startswith("operator.")}


def test_clocks_are_apart_and_lives_vary() -> None:
    plan = make_plan(5, SHORT)
    offsets = list(islice(plan.clock_offsets("api-0"), 100))
    assert max(offsets) - min(offsets) > CLOCKS_APART_SECONDS
    assert all(abs(offset) <= CLOCKS_APART_SECONDS for offset in offsets)
    lives = list(islice(plan.lives("api-0", 10.0), 100))
    assert 6 <= min(lives) < max(lives) <= 14


def test_load_is_the_seeds_and_has_every_behaviour() -> None:
    mix = make_mix(4, 2000)
    assert mix == make_mix(4, 2000)
    assert len({spec.key for spec in mix}) == 2000
    assert {"quick", "flaky", "rejected", "ordered", "scheduled", "cancelled", "retried by hand"} <= {
        spec.kind for spec in mix
    }
    assert all((spec.queue == ORDERED) == (spec.ordering_key is not None) for spec in mix)


@pytest.mark.parametrize(
    ("run", "attempt", "answer"),
    [(0, 1, "500"), (0, 2, "400"), (0, 5, "400"), (1, 1, "ok"), (4, 3, "ok")],
)
def test_script_answers_by_run_and_attempt(run: int, attempt: int, answer: str) -> None:
    assert answer_of([["500", "400"], ["ok"]], run, attempt) == answer
