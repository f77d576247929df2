"""What every message queue does: the one in memory, and SQS as two servers speak it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.ids import JobIds
from jobqueue_core.domain.message import Message
from jobqueue_core.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.ports.queue import MessageQueue, Received

# Nothing below waits that long: a receive that finds something answers at once.
POLL_SECONDS = 5
VISIBILITY_SECONDS = 30
MAX_RECEIVES = 20
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def messages(number: int, group: str | None = None, first: int = 0) -> list[Message]:
    return [
        Message(f"m{index}", {"queue": "jobs"}, group, None if group is None else f"{group}-{index}")
        for index in range(first, first + number)
    ]


async def receive(queue: MessageQueue, number: int) -> list[Received]:
    """Receive so many messages, in as many calls as it takes."""
    taken: list[Received] = []
    async with asyncio.timeout(30):
        while len(taken) < number:
            taken += await queue.receive(min(10, number - len(taken)), POLL_SECONDS)
    return taken


def bodies(received: Sequence[Received]) -> list[str]:
    return [message.body for message in received]


async def test_a_message_comes_as_it_was_sent(queue: MessageQueue) -> None:
    attributes = {"queue": "jobs", "traceparent": TRACE}
    assert await queue.send([Message('{"v":1,"jobId":"größer 日本"}', attributes)]) == [None]
    (received,) = await receive(queue, 1)
    assert received.body == '{"v":1,"jobId":"größer 日本"}'
    assert received.attributes == attributes
    assert received.receive_count == 1
    assert received.id
    assert received.receipt


async def test_a_batch_may_be_of_any_size(queue: MessageQueue) -> None:
    assert await queue.send(messages(25)) == [None] * 25
    received = await receive(queue, 25)
    assert sorted(bodies(received)) == sorted(message.body for message in messages(25))
    assert await queue.change_visibility([(message.receipt, 100) for message in received]) == [None] * 25
    assert await queue.delete([message.receipt for message in received]) == [None] * 25
    assert (await queue.counts()).total == 0


async def test_nothing_is_done_with_nothing(queue: MessageQueue) -> None:
    assert await queue.send([]) == []
    assert await queue.delete([]) == []
    assert await queue.change_visibility([]) == []
    assert await queue.dead_letter([]) == []


async def test_a_receive_gives_ten_at_the_most(queue: MessageQueue) -> None:
    await queue.send(messages(15))
    assert len(await queue.receive(100, 0)) <= 10
    assert len(await queue.receive(3, 0)) <= 3


async def test_an_empty_queue_gives_nothing(queue: MessageQueue) -> None:
    assert await queue.receive(10, 0) == []


async def test_a_long_poll_ends_when_a_message_comes(queue: MessageQueue) -> None:
    polling = asyncio.create_task(queue.receive(10, 20))
    await queue.counts()
    assert not polling.done()
    await queue.send(messages(1))
    async with asyncio.timeout(15):
        assert bodies(await polling) == ["m0"]


async def test_a_message_in_hand_is_nobody_elses(queue: MessageQueue) -> None:
    await queue.send(messages(1))
    await receive(queue, 1)
    assert await queue.receive(10, 0) == []


async def test_a_message_made_visible_comes_again(queue: MessageQueue) -> None:
    await queue.send(messages(1))
    (first,) = await receive(queue, 1)
    assert await queue.change_visibility([(first.receipt, 0)]) == [None]
    (second,) = await receive(queue, 1)
    assert (second.id, second.body) == (first.id, first.body)
    assert second.receive_count == first.receive_count + 1
    assert second.receipt != first.receipt
    await queue.change_visibility([(second.receipt, 0)])
    (third,) = await receive(queue, 1)
    assert third.receive_count == 3


async def test_an_old_receipt_deletes_nothing(queue: MessageQueue, queue_kind: str) -> None:
    if queue_kind == "moto":
        pytest.skip("moto deletes by any receipt a message ever had; SQS by the newest only")
    await queue.send(messages(1))
    (first,) = await receive(queue, 1)
    await queue.change_visibility([(first.receipt, 0)])
    (second,) = await receive(queue, 1)
    await queue.delete([first.receipt])
    assert (await queue.counts()).total == 1
    await queue.delete([second.receipt])
    assert (await queue.counts()).total == 0


async def test_a_deleted_message_does_not_come_again(queue: MessageQueue) -> None:
    await queue.send(messages(2))
    first, second = await receive(queue, 2)
    assert await queue.delete([first.receipt]) == [None]
    await queue.change_visibility([(second.receipt, 0)])
    assert bodies(await receive(queue, 1)) == [second.body]
    assert await queue.receive(10, 0) == []


async def test_an_entry_that_fails_leaves_the_others_alone(queue: MessageQueue) -> None:
    await queue.send(messages(3))
    received = await receive(queue, 3)
    changes = [(message.receipt, 0) for message in received]
    changes[1] = ("no such receipt", 0)
    first, refused, third = await queue.change_visibility(changes)
    assert (first, third) == (None, None)
    assert refused is not None
    assert refused.code
    again = await receive(queue, 2)
    assert sorted(bodies(again)) == sorted([received[0].body, received[2].body])


async def test_the_counts_tell_waiting_from_held(queue: MessageQueue) -> None:
    await queue.send(messages(5))
    assert ((await queue.counts()).visible, (await queue.counts()).in_flight) == (5, 0)
    await receive(queue, 2)
    counts = await queue.counts()
    assert (counts.visible, counts.in_flight, counts.delayed, counts.total) == (3, 2, 0, 5)


async def test_a_dead_letter_goes_to_the_other_queue(queue: MessageQueue) -> None:
    assert await queue.dead_letters() == 0
    letter = Message("dead", {"queue": "jobs", "reason": "failed", "error": "größer", "attempts": "3"})
    assert await queue.dead_letter([letter] * 12) == [None] * 12
    assert await queue.dead_letters() == 12
    assert (await queue.counts()).total == 0


async def test_a_group_on_a_standard_queue_makes_it_fair_and_nothing_else(queue: MessageQueue) -> None:
    await queue.send([Message("a", {}, "customer"), Message("b", {}, "customer")])
    first, second = await receive(queue, 2)
    assert {first.body, second.body} == {"a", "b"}
    assert first.group_id == "customer"


def test_a_name_tells_whether_a_queue_keeps_order(queue: MessageQueue, queue_name: str) -> None:
    assert (queue.name, queue.fifo) == (queue_name, False)


# FIFO


async def test_a_group_comes_in_order(fifo_queue: MessageQueue) -> None:
    assert fifo_queue.fifo
    assert await fifo_queue.send(messages(25, "g")) == [None] * 25
    seen: list[str] = []
    while len(seen) < 25:
        received = await receive(fifo_queue, 1)
        seen += bodies(received)
        await fifo_queue.delete([message.receipt for message in received])
    assert seen == [message.body for message in messages(25)]


async def test_a_group_is_blocked_while_a_message_of_it_is_in_hand(fifo_queue: MessageQueue) -> None:
    await fifo_queue.send([*messages(2, "g"), *messages(1, "other", first=9)])
    (first,) = await receive(fifo_queue, 1)
    assert (first.body, first.group_id) == ("m0", "g")
    (stranger,) = await receive(fifo_queue, 1)
    assert (stranger.body, stranger.group_id) == ("m9", "other")
    assert await fifo_queue.receive(10, 0) == []
    await fifo_queue.delete([first.receipt])
    assert bodies(await receive(fifo_queue, 1)) == ["m1"]


async def test_a_waiting_retry_keeps_its_group_blocked(fifo_queue: MessageQueue) -> None:
    await fifo_queue.send(messages(2, "g"))
    (first,) = await receive(fifo_queue, 1)
    await fifo_queue.change_visibility([(first.receipt, 20)])
    assert await fifo_queue.receive(10, 0) == []
    await fifo_queue.change_visibility([(first.receipt, 0)])
    (again,) = await receive(fifo_queue, 1)
    assert (again.body, again.receive_count) == ("m0", 2)


async def test_a_duplicate_vanishes_and_another_number_does_not(fifo_queue: MessageQueue) -> None:
    job_id = JobIds().new(START)
    sends = [Message("job", {}, "g", f"{job_id}-{number}") for number in (1, 1, 2)]
    for message in sends:
        assert await fifo_queue.send([message]) == [None]
    assert (await fifo_queue.counts()).total == 2


async def test_a_fifo_queue_has_a_fifo_dead_letter_queue(fifo_queue: MessageQueue) -> None:
    letters = [Message("dead", {"reason": "failed"}, "g", f"dead-{number}") for number in range(3)]
    assert await fifo_queue.dead_letter(letters) == [None] * 3
    assert await fifo_queue.dead_letters() == 3


# Dead letters


async def letters_of(queue: MessageQueue, number: int) -> list[Received]:
    """Receive so many dead letters, in as many calls as it takes."""
    taken: list[Received] = []
    async with asyncio.timeout(30):
        while len(taken) < number:
            taken += await queue.receive_dead_letters(10, VISIBILITY_SECONDS, POLL_SECONDS)
    return taken


async def test_a_dead_letter_is_received_as_it_was_put(queue: MessageQueue) -> None:
    attributes = {"queue": "jobs", "reason": "failed", "error": "größer"}
    await queue.dead_letter([Message("dead", attributes)])
    (letter,) = await letters_of(queue, 1)
    assert (letter.body, letter.attributes, letter.receive_count) == ("dead", attributes, 1)
    assert letter.moved_from is None


async def test_a_dead_letter_in_hand_is_counted_and_shown_to_nobody_else(queue: MessageQueue) -> None:
    await queue.dead_letter(messages(3))
    await letters_of(queue, 3)
    assert await queue.receive_dead_letters(10, VISIBILITY_SECONDS) == []
    assert await queue.dead_letters() == 3


async def test_dead_letters_are_shown_again_or_deleted(queue: MessageQueue) -> None:
    await queue.dead_letter(messages(25))
    letters = await letters_of(queue, 25)
    assert await queue.delete_dead_letters([letter.receipt for letter in letters[:12]]) == [None] * 12
    assert await queue.dead_letters() == 13
    assert await queue.show_dead_letters([letter.receipt for letter in letters[12:]]) == [None] * 13
    again = await letters_of(queue, 13)
    assert sorted(bodies(again)) == sorted(bodies(letters[12:]))
    assert {letter.receive_count for letter in again} == {2}


async def test_a_message_received_too_often_becomes_a_dead_letter(queue: MessageQueue) -> None:
    await queue.send(messages(1))
    for _ in range(MAX_RECEIVES):
        (received,) = await receive(queue, 1)
        await queue.change_visibility([(received.receipt, 0)])
    assert await queue.receive(10, 0) == []
    (letter,) = await letters_of(queue, 1)
    assert letter.body == "m0"
    assert "reason" not in letter.attributes


async def test_what_cannot_move_its_dead_letters_says_so_and_leaves_them(
    queue: MessageQueue, queue_kind: str
) -> None:
    if queue_kind == "moto":
        pytest.skip("moto answers 500 to what it does not know, which is no refusal")
    await queue.dead_letter(messages(2))
    assert await queue.can_move_dead_letters() is False
    assert await queue.move_dead_letters() is False
    assert await queue.dead_letters() == 2


async def test_dead_letters_of_one_group_are_received_together(fifo_queue: MessageQueue) -> None:
    await fifo_queue.dead_letter(messages(3, "g"))
    assert bodies(await letters_of(fifo_queue, 3)) == ["m0", "m1", "m2"]
