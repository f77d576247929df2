"""An operator killed at every step boundary: its successor finishes what it began, and does nothing twice."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.failpoints import PLACES, PLACES_VARIABLE
from jobqueue_testsupport.kube.eventually import eventually, stays

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.operator_process import OperatorProcess, StartOperator
    from jobqueue_testsupport.kube.world import World

WAITING = 3


def died(operator: OperatorProcess) -> None:
    assert operator.exit_code == -signal.SIGKILL


@pytest.mark.parametrize("place", [place for place in PLACES if place.startswith("operator.")])
async def test_a_killed_operator_leaves_nothing_half_done(
    world: World, queue: str, start_operator: StartOperator, place: str
) -> None:
    short = {"JOBQUEUE_OPERATOR__LEASE__DURATION_SECONDS": "3"}
    world.deployment(queue)
    first = start_operator(None, **short, **{PLACES_VARIABLE: f"{place}=kill"})
    world.jobqueue(queue)
    if place in ("operator.before_scale", "operator.after_scale"):
        await world.ready(queue)
        world.sqs.send(queue, WAITING)
    await eventually(lambda: died(first), within=15.0)
    start_operator(None, **short)
    await world.ready(queue)
    if place not in ("operator.before_scale", "operator.after_scale"):
        world.sqs.send(queue, WAITING)
    await world.scaled(queue, WAITING)

    def settled() -> None:
        status = world.seen(queue)["status"]
        assert (status["desiredReplicas"], status["backlog"]["visible"]) == (WAITING, WAITING)

    await eventually(settled)
    # What was written before the death is not written again: an event at the most, and no second step.
    await stays(settled, 2.0)
    assert len(world.events(queue, "ScaledUp")) <= 1
