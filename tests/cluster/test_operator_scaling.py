"""The operator scales Deployments: what is written, when, and what it says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jobqueue_core.domain.times import rfc3339
from jobqueue_testsupport.kube.eventually import eventually, stays

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.audit import AuditLog
    from jobqueue_testsupport.kube.operator_process import OperatorProcess
    from jobqueue_testsupport.kube.world import World

COST = "controller.kubernetes.io/pod-deletion-cost"
SCALE = "deployments/scale"
ALWAYS = "* * * * *"


async def test_from_zero_to_all_that_is_wanted_in_one_write_and_every_account_of_it_agrees(
    world: World, queue: str, operator: OperatorProcess, audit: AuditLog
) -> None:
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    world.sqs.send(queue, 40)
    await world.scaled(queue, 40)
    writes = [
        request
        for request in audit.read()
        if request.resource == SCALE and request.writes and request.namespace == world.namespace
    ]
    assert len(writes) == 1

    def told() -> None:
        status = world.seen(queue)["status"]
        decision = status["lastDecision"]
        assert (decision["from"], decision["to"], decision["wanted"]) == (0, 40, 40)
        assert status["desiredReplicas"] == 40
        assert status["backlog"]["visible"] == 40
        assert status["lastScaleTime"] == decision["time"]
        active = world.expect(queue, "ScalingActive", "True")
        assert decision["reason"] == "BacklogAboveTarget"
        [event] = world.events(queue, "ScaledUp")
        assert decision["reason"] in event["message"]
        assert "from 0 to 40" in event["message"]
        assert active["reason"]

    await eventually(told)
    assert operator.metric("jobqueue_scale_decisions_total") == 1


async def test_work_that_is_done_brings_the_workers_to_zero(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    world.sqs.send(queue, 3)
    await world.scaled(queue, 3)
    world.sqs.purge(queue)
    await world.scaled(queue, 0)
    [event] = await eventually(lambda: world.told(queue, "ScaledDown"))
    assert "QueueEmpty" in event["message"]
    assert operator.healthy()


async def test_zero_waits_until_the_queue_has_been_empty_for_long_enough(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue, replicas=3)
    world.jobqueue(queue, scaling={"zeroAfterSeconds": 4})
    await world.scaled(queue, 1)
    await stays(lambda: some_replicas(world, queue), 2.5)
    await world.scaled(queue, 0)


async def test_limits_hold_and_are_named(world: World, queue: str, operator: OperatorProcess) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, scaling={"minReplicas": 2, "maxReplicas": 5})
    await world.scaled(queue, 2)
    world.sqs.send(queue, 30)
    await world.scaled(queue, 5)
    limited = await eventually(lambda: world.expect(queue, "ScalingLimited", "True", "MaxReplicas"))
    assert "30" in limited["message"]
    world.change(queue, scaling={"maxReplicas": 8})
    await world.scaled(queue, 8)


async def test_replicas_changed_by_hand_are_put_right(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    world.sqs.send(queue, 4)
    await world.scaled(queue, 4)
    world.cluster.kubectl("-n", world.namespace, "scale", f"deployment/{queue}", "--replicas=1")
    await world.scaled(queue, 4)


async def test_a_wake_acts_at_once_though_the_poll_is_a_minute_away(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    world.deployment(queue)
    world.jobqueue(queue, scaling={"pollSeconds": 60})
    await world.ready(queue)
    rounds = operator.rounds()
    world.sqs.send(queue, 6)

    def unscaled() -> None:
        assert world.replicas(queue) == 0

    # Nothing but the annotation can be what scales it.
    await stays(unscaled, 2.0)
    assert operator.rounds() == rounds
    world.annotate(queue, "jobqueue.dev/wake", rfc3339(datetime.now(UTC)))
    await world.scaled(queue, 6, within=1.0)


async def test_suspend_holds_or_drains_and_says_so(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue, replicas=2)
    world.jobqueue(queue, suspend="Hold")
    suspended = await eventually(lambda: world.expect(queue, "Suspended", "True", "Hold"))
    assert "None" in suspended["message"]
    world.sqs.send(queue, 9)

    def kept() -> None:
        assert world.replicas(queue) == 2

    await stays(kept, 3.0)
    world.expect(queue, "ScalingActive", "False", "Suspended")

    async with world.busy(queue, "one"):
        world.change(queue, suspend="HoldAndDrain")
        await world.scaled(queue, 1)
        await eventually(lambda: world.expect(queue, "Suspended", "True", "HoldAndDrain"))
        await stays(lambda: some_replicas(world, queue), 2.0)
    await world.scaled(queue, 0)

    world.change(queue, suspend="None")
    await world.scaled(queue, 9)
    await eventually(lambda: world.expect(queue, "Suspended", "False"))


async def test_a_schedule_in_force_is_a_floor_and_one_that_is_not_is_none(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    other = datetime.now(UTC) + timedelta(hours=12)
    world.deployment(queue)
    world.jobqueue(
        queue,
        scaling={
            "schedules": [
                {"cron": ALWAYS, "durationSeconds": 120, "minReplicas": 3},
                {"cron": f"0 {other.hour} * * *", "durationSeconds": 60, "minReplicas": 7},
            ]
        },
    )
    await world.scaled(queue, 3)
    [event] = await eventually(lambda: world.told(queue, "ScaledUp"))
    assert "Schedule" in event["message"]
    world.change(queue, scaling={"schedules": []})
    await world.scaled(queue, 0)


async def test_a_scale_down_marks_idle_pods_before_the_write_and_spares_every_busy_one(
    world: World, queue: str, operator: OperatorProcess, audit: AuditLog
) -> None:
    del operator
    names = [f"{queue}-{number}" for number in range(5)]
    world.deployment(queue, replicas=5)
    world.pods(queue, *names)
    world.jobqueue(queue, suspend="Hold")
    await eventually(lambda: world.expect(queue, "Suspended", "True"))
    audit.read()
    async with world.busy(queue, *names[1:3]):
        world.change(queue, suspend="None")
        await world.scaled(queue, 2)
        await stays(lambda: some_replicas(world, queue, 2), 3.0)
    pods = {pod["metadata"]["name"]: pod["metadata"] for pod in world.cluster.api.list(world.path("pods"))}
    costs = {pod: int(pods[pod].get("annotations", {}).get(COST, 0)) for pod in names}
    idle = {pod for pod in names if pod not in names[1:3]}
    assert max(costs[pod] for pod in idle) < min(costs[pod] for pod in names[1:3])
    writes = [
        (request.resource, request.name)
        for request in audit.read()
        if request.writes and request.resource in {"pods", SCALE} and request.namespace == world.namespace
    ]
    first = writes.index((SCALE, queue))
    assert {name for resource, name in writes[:first] if resource == "pods"} == idle


async def test_an_autoscaler_of_the_jobqueue_reads_replicas_and_selector(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, scaling={"minReplicas": 2})
    await world.scaled(queue, 2)

    def read() -> None:
        scale = world.cluster.api.get(f"{world.path('jobqueues', queue)}/scale")
        assert scale["status"] == {"replicas": 2, "selector": f"app={queue}"}

    await eventually(read)


def some_replicas(world: World, deployment: str, at_least: int = 1) -> None:
    """Fail when a Deployment asks for fewer replicas."""
    assert world.replicas(deployment) >= at_least
