"""What is wrong or away is told by a condition, moves no worker, and mends by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_testsupport.kube.eventually import eventually, stays
from jobqueue_testsupport.kube.sqs import Sqs
from jobqueue_testsupport.kube.sqs_gate import SqsGate
from jobqueue_testsupport.server import EmbeddedMongo, EmbeddedSqs

if TYPE_CHECKING:
    from pathlib import Path

    from jobqueue_testsupport.kube.control_plane import ControlPlane
    from jobqueue_testsupport.kube.operator_process import OperatorProcess, StartOperator
    from jobqueue_testsupport.kube.world import World

# The driver's time-out and a poll.
STORE_SECONDS = 15.0


async def test_a_missing_target_is_named_and_scaled_as_soon_as_it_is_there(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.jobqueue(queue, target=f"{queue}-late")
    missing = await eventually(lambda: world.expect(queue, "Ready", "False", "TargetNotFound"))
    assert f"{queue}-late" in missing["message"]
    assert world.namespace in missing["message"]
    [event] = await eventually(lambda: world.told(queue, "TargetNotFound"))
    assert event["type"] == "Warning"
    # What waits is read all the same.
    world.sqs.send(queue, 3)

    def read() -> None:
        assert world.seen(queue)["status"]["backlog"]["visible"] == 3

    await eventually(read)
    world.deployment(f"{queue}-late")
    await world.scaled(f"{queue}-late", 3)
    await world.ready(queue)


async def test_a_target_that_is_deleted_is_missed_and_found_again(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, scaling={"minReplicas": 2})
    await world.scaled(queue, 2)
    world.cluster.api.delete(world.path("deployments", queue))
    await eventually(lambda: world.expect(queue, "Ready", "False", "TargetNotFound"))
    world.deployment(queue)
    await world.scaled(queue, 2)
    await world.ready(queue)


async def older_by_a_second(world: World, queue: str) -> None:
    """Wait until what is created now is younger than a JobQueue: creation times have whole seconds."""
    created = world.seen(queue)["metadata"]["creationTimestamp"]
    probe = 0

    def younger() -> None:
        nonlocal probe
        probe += 1
        made = world.cluster.api.create(
            world.path("configmaps"), {"metadata": {"name": f"{queue}-clock-{probe}"}}
        )
        assert made["metadata"]["creationTimestamp"] > created

    await eventually(younger)


async def test_of_two_jobqueues_on_one_queue_the_younger_waits_until_the_elder_goes(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.deployment(f"{queue}-b")
    world.jobqueue(queue)
    await world.ready(queue)
    await older_by_a_second(world, queue)
    world.jobqueue(f"{queue}-b", queue={"name": queue, "jobs": "other"})
    conflict = await eventually(lambda: world.expect(f"{queue}-b", "Ready", "False", "Conflict"))
    assert f"{world.namespace}/{queue}" in conflict["message"]
    assert await eventually(lambda: world.told(f"{queue}-b", "Conflict"))
    world.sqs.send(queue, 4)
    await world.scaled(queue, 4)

    def untouched() -> None:
        assert world.replicas(f"{queue}-b") == 0
        world.expect(queue, "Ready", "True")

    await stays(untouched, 2.5)
    world.delete(queue)
    await eventually(lambda: world.expect(f"{queue}-b", "Ready", "True"))
    await world.scaled(f"{queue}-b", 4)


async def test_of_two_jobqueues_on_one_target_the_younger_waits_until_the_elder_goes(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, scaling={"minReplicas": 1})
    await world.scaled(queue, 1)
    await older_by_a_second(world, queue)
    world.jobqueue(f"{queue}-b", target=queue, scaling={"minReplicas": 9})
    conflict = await eventually(lambda: world.expect(f"{queue}-b", "Ready", "False", "Conflict"))
    assert queue in conflict["message"]

    def kept() -> None:
        assert world.replicas(queue) == 1

    await stays(kept, 2.5)
    world.delete(queue)
    await world.scaled(queue, 9)
    await eventually(lambda: world.expect(f"{queue}-b", "Ready", "True"))


async def test_a_service_that_is_no_url_is_told_and_mended(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, processor={"url": "not a url"})
    invalid = await eventually(lambda: world.expect(queue, "Ready", "False", "InvalidSpec"))
    assert "processor.url" in invalid["message"]
    assert "http" in invalid["message"]
    world.change(queue, processor={"url": "https://service.example/jobs"}, scaling={"minReplicas": 1})
    await world.ready(queue)
    await world.scaled(queue, 1)


async def test_refused_credentials_are_told_hold_the_workers_and_mend(
    world: World, queue: str, start_operator: StartOperator, aws_env: str
) -> None:
    async with SqsGate(aws_env) as gate:
        world.deployment(queue)
        world.jobqueue(queue)
        gate.refuses = True
        start_operator(AWS_ENDPOINT_URL=gate.url)
        denied = await eventually(lambda: world.expect(queue, "QueueReachable", "False", "AccessDenied"))
        assert "IAM" in denied["message"]
        world.expect(queue, "Ready", "False", "QueueUnreachable")
        assert gate.refused
        gate.refuses = False
        await eventually(lambda: world.expect(queue, "Ready", "True"), within=15)
        world.sqs.send(queue, 3)
        await world.scaled(queue, 3)

        gate.refuses = True
        world.sqs.purge(queue)
        await eventually(lambda: world.expect(queue, "QueueReachable", "False", "AccessDenied"))

        def held() -> None:
            assert world.replicas(queue) == 3

        await stays(held, 2.5)
        gate.refuses = False
        await world.scaled(queue, 0)
        await eventually(lambda: world.expect(queue, "QueueReachable", "True", "Reachable"))


async def test_sqs_away_for_a_while_ten_workers_stay_and_the_condition_says_why(
    world: World, queue: str, start_operator: StartOperator, tmp_path: Path
) -> None:
    with EmbeddedSqs(tmp_path / "own-sqs") as server, Sqs(server.url) as sqs:
        start_operator(AWS_ENDPOINT_URL=server.url)
        world.deployment(queue)
        world.jobqueue(queue, scaling={"maxReplicas": 10})
        await world.ready(queue)
        sqs.send(queue, 12)
        await world.scaled(queue, 10)
        server.stop()
        away = await eventually(
            lambda: world.expect(queue, "QueueReachable", "False", "Unreachable"), within=15
        )
        assert "held" in away["message"]

        def ten() -> None:
            assert world.replicas(queue) == 10
            world.expect(queue, "QueueReachable", "False")
            assert "backlog" not in world.seen(queue)["status"]

        await stays(ten, 20.0)
        assert len(world.told(queue, "QueueUnreachable")) == 1
        world.expect(queue, "Ready", "False", "QueueUnreachable")
        world.expect(queue, "ScalingActive", "False")
        server.start()
        await eventually(lambda: world.expect(queue, "QueueReachable", "True", "Reachable"), within=15)
        assert world.replicas(queue) == 10
        sqs.purge(queue)
        await world.scaled(queue, 0)


async def test_an_unknown_reading_of_the_store_holds_the_workers(
    world: World, queue: str, start_operator: StartOperator, tmp_path: Path
) -> None:
    with EmbeddedMongo(tmp_path / "own-mongo") as server:
        start_operator(JOBQUEUE_MONGODB__URI=server.url)
        world.deployment(queue)
        world.jobqueue(queue)
        await world.ready(queue)
        world.sqs.send(queue, 3)
        await world.scaled(queue, 3)
        server.stop()
        world.sqs.purge(queue)
        await eventually(
            lambda: world.expect(queue, "QueueReachable", "False", "StoreUnreachable"), within=STORE_SECONDS
        )

        def held() -> None:
            assert world.replicas(queue) == 3

        await stays(held, 6.0)
        server.start()
        await world.scaled(queue, 0, within=STORE_SECONDS)
        await eventually(lambda: world.expect(queue, "QueueReachable", "True"), within=STORE_SECONDS)


async def test_with_a_fallback_an_unreadable_queue_has_at_least_so_many_workers(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue, replicas=1)
    world.jobqueue(queue, queue={"provision": False}, scaling={"onUnknown": {"replicas": 4}})
    await world.scaled(queue, 4)
    await eventually(lambda: world.expect(queue, "QueueReachable", "False", "QueueMissing"))


async def test_the_operator_outlives_an_api_server_that_was_away(
    world: World, queue: str, start_operator: StartOperator, control_plane: ControlPlane
) -> None:
    operator = start_operator(JOBQUEUE_OPERATOR__LEASE__DURATION_SECONDS="60")
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    with control_plane.away():
        world.sqs.send(queue, 5)
        await stays(lambda: alive(operator), 3.0)
    await world.scaled(queue, 5, within=20)
    world.jobqueue(f"{queue}-new", target=f"{queue}-new")
    await eventually(lambda: world.expect(f"{queue}-new", "Ready", "False", "TargetNotFound"), within=20)


def alive(operator: OperatorProcess) -> None:
    """Fail when the operator's liveness probe does."""
    assert operator.healthy()
