"""At rest nothing is written, and a restart of the operator changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_testsupport.kube.eventually import eventually

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.api import Object
    from jobqueue_testsupport.kube.audit import AuditLog
    from jobqueue_testsupport.kube.operator_process import OperatorProcess, StartOperator
    from jobqueue_testsupport.kube.world import World

AGENT = "jobqueue/"
TEMPLATE = {"scaleTargetRef": None, "template": {"image": "registry.invalid/worker:1"}}
SERVICE = {"url": "https://service.example/jobs"}


async def at_rest(world: World, queue: str) -> None:
    """Make one JobQueue with a target, one with a template, work for the first; wait until all is told."""
    world.deployment(queue)
    world.jobqueue(queue, scaling={"minReplicas": 1})
    world.jobqueue(f"{queue}-made", scaling={"minReplicas": 2}, worker=TEMPLATE, processor=SERVICE)
    await world.ready(queue)
    await world.ready(f"{queue}-made")
    world.sqs.send(queue, 3)

    def told() -> None:
        assert world.replicas(queue) == 3
        assert world.seen(queue)["status"]["desiredReplicas"] == 3
        assert world.seen(queue)["status"]["replicas"] == 3
        assert world.seen(f"{queue}-made")["status"]["replicas"] == 2

    await eventually(told)


def statuses(world: World, queue: str) -> dict[str, Object]:
    """Return what is told of both JobQueues."""
    return {name: world.seen(name)["status"] for name in (queue, f"{queue}-made")}


async def rounds(operator: OperatorProcess, more: int) -> None:
    """Wait for that many more rounds of the operator."""
    enough = operator.rounds() + more

    def check() -> None:
        assert operator.rounds() >= enough

    await eventually(check, within=5.0 + more)


async def test_at_rest_nothing_is_written_but_the_lease(
    world: World, queue: str, operator: OperatorProcess, audit: AuditLog
) -> None:
    await at_rest(world, queue)
    await rounds(operator, 4)
    before = world.versions()
    audit.read()
    await rounds(operator, 10)
    assert world.versions() == before
    requests = [
        request
        for request in audit.read()
        if request.user_agent.startswith(AGENT) and request.namespace == world.namespace
    ]
    assert {(request.verb, request.resource) for request in requests} == {
        ("get", "leases"),
        ("update", "leases"),
    }


async def test_a_restart_of_the_operator_changes_nothing(
    world: World, queue: str, start_operator: StartOperator
) -> None:
    first = start_operator()
    await at_rest(world, queue)
    await rounds(first, 4)
    first.stop()
    before, told = world.versions(), statuses(world, queue)
    queues = {
        name: (world.sqs.attributes(name)["LastModifiedTimestamp"], world.sqs.tags(name))
        for name in (queue, f"{queue}-made")
    }
    second = start_operator()
    await rounds(second, 6)
    assert statuses(world, queue) == told
    assert world.versions() == before
    assert queues == {
        name: (world.sqs.attributes(name)["LastModifiedTimestamp"], world.sqs.tags(name)) for name in queues
    }
