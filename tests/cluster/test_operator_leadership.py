"""Of several operators one acts; another takes over when it is gone."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from jobqueue_testsupport.kube.eventually import eventually, stays

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.api import Object
    from jobqueue_testsupport.kube.operator_process import OperatorProcess, StartOperator
    from jobqueue_testsupport.kube.world import World

TAKE_OVER_SECONDS = 15.0
HAND_OVER_SECONDS = 5.0
LATER = "2100-01-01T00:00:00.000000Z"


async def leads(operator: OperatorProcess, within: float = 10.0) -> None:
    """Wait until an operator is the one that acts."""

    def check() -> None:
        assert operator.leads()

    await eventually(check, within)


def not_leading(operator: OperatorProcess) -> None:
    """Fail while an operator says that it acts."""
    assert not operator.leads()


async def test_two_operators_one_acts_and_a_killed_one_is_replaced_within_15_seconds(
    world: World, queue: str, start_operator: StartOperator
) -> None:
    first = start_operator()
    await leads(first)
    second = start_operator()
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    world.sqs.send(queue, 2)
    await world.scaled(queue, 2)

    def one_acts() -> None:
        assert (first.leads(), second.leads()) == (True, False)
        assert second.healthy()
        assert second.rounds() == 0

    await stays(one_acts, 2.0)
    [event] = world.events(queue, "ScaledUp")
    holder = lease(world)["holderIdentity"]
    assert event["reportingInstance"] in holder

    killed = time.monotonic()
    first.kill()
    world.sqs.send(queue, 3)
    await world.scaled(queue, 5, within=TAKE_OVER_SECONDS)
    assert time.monotonic() - killed <= TAKE_OVER_SECONDS
    assert second.leads()
    after = lease(world)
    assert after["holderIdentity"] != holder
    assert after["leaseTransitions"] >= 2


async def test_a_stopped_operator_hands_over_at_once(
    world: World, queue: str, start_operator: StartOperator
) -> None:
    # Whoever waited for the end of the lease would need longer than is allowed here.
    lasts = str(2 * int(HAND_OVER_SECONDS))
    first = start_operator(JOBQUEUE_OPERATOR__LEASE__DURATION_SECONDS=lasts)
    await leads(first)
    second = start_operator(JOBQUEUE_OPERATOR__LEASE__DURATION_SECONDS=lasts)
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    assert first.pid is not None
    asked = time.monotonic()
    os.kill(first.pid, signal.SIGTERM)
    world.sqs.send(queue, 4)
    await eventually(lambda: not_leading(first))
    await leads(second, HAND_OVER_SECONDS)
    assert time.monotonic() - asked <= HAND_OVER_SECONDS
    await world.scaled(queue, 4)
    first.stop()
    assert second.leads()
    assert len(world.events(queue, "QueueCreated")) == 1


async def test_a_leader_that_loses_its_lease_stops_acting(
    world: World, queue: str, start_operator: StartOperator
) -> None:
    operator = start_operator(JOBQUEUE_OPERATOR__LEASE__DURATION_SECONDS="3")
    await leads(operator)
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    taken = {"spec": {"holderIdentity": "another", "leaseDurationSeconds": 120, "renewTime": LATER}}
    world.cluster.api.patch(lease_path(world), taken)
    await eventually(lambda: not_leading(operator), within=6)
    world.sqs.send(queue, 4)

    def unscaled() -> None:
        assert world.replicas(queue) == 0

    await stays(unscaled, 3.0)


def lease_path(world: World) -> str:
    """Return the path of the operators' Lease."""
    return world.path("leases", "jobqueue-operator")


def lease(world: World) -> Object:
    """Return the spec of the operators' Lease."""
    return dict(world.cluster.api.get(lease_path(world))["spec"])
