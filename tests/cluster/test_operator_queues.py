"""The operator makes queues, keeps them as the JobQueue says, and deletes them only where it may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobqueue_testsupport.kube.eventually import eventually, stays

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.operator_process import OperatorProcess
    from jobqueue_testsupport.kube.world import World

FINALIZER = "jobqueue.dev/queue"
DELETE = {"deletionPolicy": "Delete"}


async def gone(world: World, queue: str) -> None:
    """Wait until a JobQueue does not exist any more."""

    def check() -> None:
        assert not world.exists("jobqueues", queue)

    await eventually(check)


async def test_queue_and_dead_letter_queue_are_made_tagged_and_tied_together(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, queue={"visibilityTimeoutSeconds": 77, "deadLetter": {"maxReceiveCount": 12}})
    await world.ready(queue)
    dead = f"{queue}-dead-letter"
    assert world.sqs.attributes(queue)["VisibilityTimeout"] == "77"
    redrive = world.sqs.redrive(queue)
    assert redrive["deadLetterTargetArn"] == world.sqs.attributes(dead)["QueueArn"]
    assert int(redrive["maxReceiveCount"]) == 12
    for name in (queue, dead):
        tags = world.sqs.tags(name)
        assert tags["jobqueue.dev/owner"].partition("@")[0] == f"{world.namespace}/{queue}"
        assert tags["jobqueue.dev/managed-by"] == "jobqueue-operator"
    status = world.seen(queue)["status"]["queue"]
    assert status["url"] == world.sqs.url(queue)
    assert status["deadLetterUrl"] == world.sqs.url(dead)
    [created] = world.events(queue, "QueueCreated")
    assert created["message"] == f"created in SQS: {dead} and {queue}"


async def test_a_fifo_queue_is_one_and_so_is_its_dead_letter_queue(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, queue={"name": f"{queue}.fifo", "fifo": True})
    await world.ready(queue)
    for name in (f"{queue}.fifo", f"{queue}-dead-letter.fifo"):
        assert world.sqs.attributes(name)["FifoQueue"] == "true"
    assert world.seen(queue)["status"]["queue"]["jobs"] == queue


async def test_a_new_spec_reaches_the_queue(world: World, queue: str, operator: OperatorProcess) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    world.change(queue, queue={"visibilityTimeoutSeconds": 90, "deadLetter": {"maxReceiveCount": 20}})

    def reached() -> None:
        assert world.sqs.attributes(queue)["VisibilityTimeout"] == "90"
        assert int(world.sqs.redrive(queue)["maxReceiveCount"]) == 20

    await eventually(reached)


async def test_attributes_changed_by_hand_are_corrected_and_told(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    right = world.sqs.redrive(queue)
    wrong = json.dumps({**right, "maxReceiveCount": "3"})
    world.sqs.change(queue, VisibilityTimeout="5", RedrivePolicy=wrong)

    def corrected() -> None:
        assert world.sqs.attributes(queue)["VisibilityTimeout"] == "60"
        assert world.sqs.redrive(queue) == right
        told = [event["message"] for event in world.events(queue, "QueueCorrected")]
        assert any("VisibilityTimeout" in message and "5" in message for message in told), told
        assert any("RedrivePolicy" in message for message in told), told

    await eventually(corrected)
    told = len(world.events(queue, "QueueCorrected"))

    def told_once() -> None:
        assert len(world.events(queue, "QueueCorrected")) == told

    await stays(told_once, 2.5)


async def test_a_queue_that_was_there_is_taken_over_with_its_messages(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.sqs.create(queue, VisibilityTimeout="5")
    world.sqs.send(queue, 4)
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)

    def taken_over() -> None:
        assert world.sqs.attributes(queue)["VisibilityTimeout"] == "60"
        assert world.sqs.waiting(queue) == 4
        assert world.replicas(queue) == 4

    await eventually(taken_over)


async def test_a_provisioned_queue_that_was_deleted_is_made_again(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    world.sqs.delete(queue)

    def made_again() -> None:
        assert world.sqs.url(queue) is not None
        assert world.sqs.redrive(queue)
        world.expect(queue, "QueueReachable", "True")
        world.expect(queue, "Ready", "True")
        assert len(world.events(queue, "QueueCreated")) == 2

    await eventually(made_again, within=20)


async def test_retain_leaves_the_queues_and_needs_no_finalizer(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    world.deployment(queue)
    world.jobqueue(queue)
    await world.ready(queue)
    world.sqs.send(queue, 2)
    assert "finalizers" not in world.seen(queue)["metadata"]
    operator.stop()
    # Nobody is there to agree, and nobody needs to.
    world.delete(queue)
    await gone(world, queue)
    assert world.sqs.waiting(queue) == 2
    assert world.sqs.url(f"{queue}-dead-letter") is not None


async def test_delete_takes_empty_queues_along(world: World, queue: str, operator: OperatorProcess) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, queue=DELETE)
    await world.ready(queue)
    assert world.seen(queue)["metadata"]["finalizers"] == [FINALIZER]
    world.delete(queue)
    await gone(world, queue)
    assert world.sqs.url(queue) is None
    assert world.sqs.url(f"{queue}-dead-letter") is None


@pytest.mark.parametrize("where", ["", "-dead-letter"])
async def test_delete_is_refused_while_messages_wait_until_it_is_confirmed(
    world: World, queue: str, operator: OperatorProcess, where: str
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, queue=DELETE)
    await world.ready(queue)
    world.sqs.send(queue + where, 3)
    world.delete(queue)
    refused = await eventually(lambda: world.expect(queue, "Ready", "False", "DeletionRefused"))
    assert "3 messages" in refused["message"]
    assert "jobqueue.dev/delete-messages" in refused["message"]

    def kept() -> None:
        assert world.exists("jobqueues", queue)
        assert world.sqs.waiting(queue + where) == 3

    await stays(kept, 2.5)
    assert len(world.events(queue, "DeletionRefused")) == 1
    world.annotate(queue, "jobqueue.dev/delete-messages", "true")
    await gone(world, queue)
    assert world.sqs.url(queue) is None
    assert world.sqs.url(f"{queue}-dead-letter") is None


async def test_a_refused_deletion_goes_on_by_itself_when_the_messages_are_gone(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, queue=DELETE)
    await world.ready(queue)
    world.sqs.send(queue, 3)
    world.delete(queue)
    await eventually(lambda: world.expect(queue, "Ready", "False", "DeletionRefused"))
    world.sqs.purge(queue)
    await gone(world, queue)
    assert world.sqs.url(queue) is None


async def test_a_change_of_mind_to_retain_lets_the_jobqueue_go_and_keeps_the_queue(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, queue=DELETE)
    await world.ready(queue)
    world.sqs.send(queue, 3)
    world.delete(queue)
    await eventually(lambda: world.expect(queue, "Ready", "False", "DeletionRefused"))
    world.change(queue, queue={"deletionPolicy": "Retain"})
    await gone(world, queue)
    assert world.sqs.waiting(queue) == 3


async def test_a_finalizer_that_nobody_answers_can_be_taken_off_by_hand(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    world.deployment(queue)
    world.jobqueue(queue, queue=DELETE)
    await world.ready(queue)
    operator.kill()
    world.delete(queue)
    patch = '{"metadata": {"finalizers": null}}'
    world.cluster.kubectl("-n", world.namespace, "patch", "jq", queue, "--type=merge", "-p", patch)
    await gone(world, queue)
    assert world.sqs.url(queue) is not None


async def test_a_queue_that_is_not_provisioned_is_never_touched(
    world: World, queue: str, operator: OperatorProcess
) -> None:
    del operator
    world.deployment(queue)
    world.jobqueue(queue, queue={"provision": False})
    missing = await eventually(lambda: world.expect(queue, "QueueReachable", "False", "QueueMissing"))
    assert queue in missing["message"]
    assert "provision" in missing["message"]
    world.expect(queue, "Ready", "False", "QueueUnreachable")
    assert world.sqs.url(queue) is None

    world.sqs.create(f"{queue}-dead-letter")
    world.sqs.create(queue, VisibilityTimeout="31")
    world.sqs.send(queue, 2)

    def found() -> None:
        world.expect(queue, "QueueReachable", "True", "Reachable")
        world.expect(queue, "Ready", "True")
        assert world.replicas(queue) == 2

    await eventually(found, within=15)
    assert world.sqs.attributes(queue)["VisibilityTimeout"] == "31"
    assert world.sqs.tags(queue) == {}
