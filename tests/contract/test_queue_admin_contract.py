"""What whoever looks after queues can rely on: the fake, and SQS as two servers speak it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest

from jobqueue_core.adapters.sqs.admin import SqsQueueAdmin
from jobqueue_core.adapters.sqs.attributes import attributes_of
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.ports.queue import QueueCounts
from jobqueue_core.ports.queue_admin import (
    OWNER_TAG,
    QueueAdmin,
    QueueAdminError,
    QueueFault,
    QueuePlan,
    QueueSettings,
)
from jobqueue_core.testing.queue_admin import MemoryQueueAdmin, MemoryQueueState
from jobqueue_testsupport.observers import CountedRequests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TAGS = {OWNER_TAG: "default/emails", "team": "mail"}
PLAIN = QueueSettings(visibility_timeout_seconds=33, retention_seconds=345_600)


class Hand(Protocol):
    """Whatever else acts on the queues."""

    async def create(self, name: str, tags: dict[str, str]) -> None: ...
    async def change(self, url: str, settings: QueueSettings) -> None: ...
    async def send(self, url: str, number: int) -> None: ...
    async def tags(self, url: str) -> dict[str, str]: ...


class MemoryHand:
    def __init__(self, admin: MemoryQueueAdmin) -> None:
        self.queues = admin.queues

    async def create(self, name: str, tags: dict[str, str]) -> None:
        self.queues[name] = MemoryQueueState(PLAIN, tags)

    async def change(self, url: str, settings: QueueSettings) -> None:
        self.queues[url.rpartition("/")[2]].settings = settings

    async def send(self, url: str, number: int) -> None:
        self.queues[url.rpartition("/")[2]].counts = QueueCounts(number, 0, 0)

    async def tags(self, url: str) -> dict[str, str]:
        return self.queues[url.rpartition("/")[2]].tags


class SqsHand:
    def __init__(self, connection: SqsConnection) -> None:
        self.client = connection.client

    async def create(self, name: str, tags: dict[str, str]) -> None:
        await self.client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "33"}, tags=tags)

    async def change(self, url: str, settings: QueueSettings) -> None:
        await self.client.set_queue_attributes(QueueUrl=url, Attributes=attributes_of(settings))

    async def send(self, url: str, number: int) -> None:
        for index in range(number):
            await self.client.send_message(QueueUrl=url, MessageBody=str(index))

    async def tags(self, url: str) -> dict[str, str]:
        return (await self.client.list_queue_tags(QueueUrl=url)).get("Tags", {})


@pytest.fixture
async def world(queue_kind: str) -> AsyncIterator[tuple[QueueAdmin, Hand]]:
    if queue_kind == "memory":
        admin = MemoryQueueAdmin()
        yield admin, MemoryHand(admin)
        return
    async with SqsConnection(CountedRequests()) as connection:
        yield SqsQueueAdmin(connection), SqsHand(connection)


@pytest.fixture
def admin(world: tuple[QueueAdmin, Hand]) -> QueueAdmin:
    return world[0]


@pytest.fixture
def hand(world: tuple[QueueAdmin, Hand]) -> Hand:
    return world[1]


@pytest.fixture
def plan(queue_name: str) -> QueuePlan:
    return QueuePlan(
        name=queue_name,
        dead_letter_name=f"{queue_name}-dead",
        visibility_timeout_seconds=45,
        max_receive_count=7,
        create=True,
    )


async def test_both_queues_are_made_as_planned_and_then_left_alone(
    admin: QueueAdmin, hand: Hand, plan: QueuePlan
) -> None:
    made = await admin.converge(plan, TAGS)
    assert made.created == (plan.dead_letter_name, plan.name)
    assert made.corrected == ()
    for url in (made.url, made.dead_letter_url):
        assert await hand.tags(url) == TAGS

    reading = await admin.read(made.url, with_settings=True)
    assert reading.settings is not None
    assert plan.fits(reading.settings)
    assert (reading.settings.visibility_timeout_seconds, reading.settings.max_receive_count) == (45, 7)
    assert (reading.settings.dead_letter_arn or "").endswith(f":{plan.dead_letter_name}")

    assert await admin.converge(plan, TAGS) == replace(made, created=())


async def test_a_fifo_queue_gets_a_fifo_dead_letter_queue(admin: QueueAdmin, plan: QueuePlan) -> None:
    fifo = replace(plan, name=f"{plan.name}.fifo", dead_letter_name=f"{plan.name}-dead.fifo")
    made = await admin.converge(fifo, TAGS)
    assert made.created == (fifo.dead_letter_name, fifo.name)
    assert await admin.converge(fifo, TAGS) == replace(made, created=())


async def test_what_was_changed_by_hand_is_seen_corrected_and_told(
    admin: QueueAdmin, hand: Hand, plan: QueuePlan
) -> None:
    made = await admin.converge(plan, TAGS)
    as_planned = (await admin.read(made.url, with_settings=True)).settings
    assert as_planned is not None
    by_hand = replace(as_planned, visibility_timeout_seconds=900, max_receive_count=2)
    await hand.change(made.url, by_hand)
    assert (await admin.read(made.url, with_settings=True)).settings == by_hand
    assert not plan.fits(by_hand)

    again = await admin.converge(plan, TAGS)

    assert [(each.queue, each.attribute) for each in again.corrected if each.attribute[0] == "V"] == [
        (plan.name, "VisibilityTimeout")
    ]
    (timeout, policy) = sorted(again.corrected, key=lambda each: each.attribute, reverse=True)
    assert (timeout.was, timeout.now) == ("900", "45")
    assert (policy.queue, policy.attribute) == (plan.name, "RedrivePolicy")
    assert policy.was != policy.now
    assert (await admin.read(made.url, with_settings=True)).settings == as_planned


async def test_a_changed_plan_is_a_correction_too(admin: QueueAdmin, plan: QueuePlan) -> None:
    made = await admin.converge(plan, TAGS)
    slower = replace(plan, visibility_timeout_seconds=60)
    corrected = (await admin.converge(slower, TAGS)).corrected
    assert {(each.queue, each.was, each.now) for each in corrected} == {
        (plan.name, "45", "60"),
        (plan.dead_letter_name, "45", "60"),
    }
    reading = await admin.read(made.url, with_settings=True)
    assert reading.settings is not None
    assert reading.settings.visibility_timeout_seconds == 60


async def test_a_queue_that_is_nobodys_is_taken_over(admin: QueueAdmin, hand: Hand, plan: QueuePlan) -> None:
    await hand.create(plan.name, {"theirs": "kept"})
    made = await admin.converge(plan, TAGS)
    assert made.created == (plan.dead_letter_name,)
    assert {each.attribute for each in made.corrected} == {
        "VisibilityTimeout",
        "MessageRetentionPeriod",
        "RedrivePolicy",
    }
    assert {each.was for each in made.corrected} == {"33", "345600", None}
    assert await hand.tags(made.url) == {"theirs": "kept", **TAGS}
    assert (await admin.converge(plan, TAGS)).corrected == ()


@pytest.mark.parametrize("which", ["name", "dead_letter_name"])
async def test_a_queue_of_another_owner_is_not_touched(
    admin: QueueAdmin, hand: Hand, plan: QueuePlan, which: str
) -> None:
    name = getattr(plan, which)
    await hand.create(name, {OWNER_TAG: "default/other"})
    with pytest.raises(QueueAdminError) as refused:
        await admin.converge(plan, TAGS)
    assert (refused.value.fault, refused.value.queue) == (QueueFault.FOREIGN, name)
    # Neither was the other made, nor this one changed.
    with pytest.raises(QueueAdminError) as missing:
        await admin.converge(replace(plan, create=False), TAGS)
    assert missing.value.fault is QueueFault.MISSING
    assert missing.value.queue == ({plan.name, plan.dead_letter_name} - {name}).pop()


async def test_a_queue_whose_owner_is_gone_is_taken_over(
    admin: QueueAdmin, hand: Hand, plan: QueuePlan
) -> None:
    await hand.create(plan.name, {OWNER_TAG: "default/gone"})
    made = await admin.converge(plan, TAGS, lambda owner: owner == "default/gone")
    assert (await hand.tags(made.url))[OWNER_TAG] == TAGS[OWNER_TAG]
    assert made.created == (plan.dead_letter_name,)


async def test_without_create_queues_are_found_and_nothing_is_written(
    admin: QueueAdmin, hand: Hand, plan: QueuePlan
) -> None:
    await hand.create(plan.name, {})
    await hand.create(plan.dead_letter_name, {})
    found = await admin.converge(replace(plan, create=False), TAGS)
    assert (found.created, found.corrected) == ((), ())
    assert await hand.tags(found.url) == {}
    reading = await admin.read(found.url, with_settings=True)
    assert reading.settings is not None
    assert reading.settings.visibility_timeout_seconds == 33
    by_url = await admin.converge(replace(plan, create=False, url=found.url), TAGS)
    assert by_url == found


async def test_a_queue_that_is_not_there_is_missing(admin: QueueAdmin, plan: QueuePlan) -> None:
    made = await admin.converge(plan, TAGS)
    await admin.delete(plan, TAGS[OWNER_TAG])
    with pytest.raises(QueueAdminError, match=plan.name) as missing:
        await admin.read(made.url)
    assert missing.value.fault is QueueFault.MISSING
    with pytest.raises(QueueAdminError):
        await admin.converge(replace(plan, create=False), TAGS)


async def test_counts_are_read_and_added_up(admin: QueueAdmin, hand: Hand, plan: QueuePlan) -> None:
    made, owner = await admin.converge(plan, TAGS), TAGS[OWNER_TAG]
    assert await admin.messages(plan, owner) == 0
    await hand.send(made.url, 3)
    await hand.send(made.dead_letter_url, 2)
    reading = await admin.read(made.url)
    assert (reading.counts, reading.settings) == (QueueCounts(3, 0, 0), None)
    assert await admin.dead_letters(made.dead_letter_url) == 2
    assert await admin.messages(plan, owner) == 5
    assert await admin.messages(replace(plan, name=f"{plan.name}-never"), owner) == 2
    assert await admin.messages(plan, "default/other") == 0


async def test_only_what_is_the_owners_is_deleted(admin: QueueAdmin, hand: Hand, plan: QueuePlan) -> None:
    made = await admin.converge(plan, TAGS)
    assert await admin.delete(plan, "default/other") == ()
    assert await hand.tags(made.url) == TAGS
    assert await admin.delete(plan, "default/emails") == (plan.name, plan.dead_letter_name)
    assert await admin.delete(plan, "default/emails") == ()
