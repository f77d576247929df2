from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import Job, Phase
from jobqueue_core.domain.letters import Fate, Letter, judge_letter, read_letter
from jobqueue_core.domain.message import Message, dead_letter, encode
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin, claim_send, note_dead_lettered, note_sent, retry_by_hand
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import FIFO_RULES, RULES

if TYPE_CHECKING:
    from jobqueue_testsupport.factories import JobFactory

MOVED = "arn:aws:sqs:eu-central-1:000000000000:jobs"


def letter_of(message: Message, moved_from: str | None = None) -> Letter:
    return read_letter(message.body, message.attributes, moved_from)


def test_what_our_letter_says_is_read(job_factory: JobFactory) -> None:
    job = job_factory(Phase.FAILED, sends=7)
    assert letter_of(dead_letter(job, fifo=False)) == Letter(job.id, is_ours=True, sends=7, reason="unknown")


def test_a_letter_that_sqs_moved_is_no_letter_of_ours(job_factory: JobFactory) -> None:
    job = job_factory(Phase.FAILED)
    assert not letter_of(encode(job, fifo=False)).is_ours
    # A letter that was moved back into the queue, and received there too often.
    assert not letter_of(dead_letter(job, fifo=False), MOVED).is_ours


def test_an_unreadable_letter_tells_why() -> None:
    assert read_letter("no json", {}).reason.startswith("the body is not JSON")
    assert read_letter("no json", {"reason": "unreadable", "error": "broken"}).reason == "broken"
    assert read_letter("no json", {}).job_id is None


@pytest.mark.parametrize("sends", ["", "x", "-1", "٣"])
def test_a_number_that_is_none_is_left_out(job_factory: JobFactory, sends: str) -> None:
    body = encode(job_factory(), fifo=False).body
    assert read_letter(body, {"reason": "failed", "sends": sends}).sends is None


def settled(job: Job) -> Job:
    return note_dead_lettered(job, START).after


def test_the_letter_of_a_failed_job_is_kept(job_factory: JobFactory) -> None:
    for job in (settled(job_factory(Phase.FAILED)), job_factory(Phase.FAILED)):
        letter = letter_of(dead_letter(job, fifo=False))
        assert judge_letter(letter, job, START) is Fate.KEEP
        assert judge_letter(replace(letter, sends=None), job, START) is Fate.KEEP


def test_the_letter_of_an_earlier_failure_goes(job_factory: JobFactory) -> None:
    job = settled(job_factory(Phase.FAILED))
    letter = letter_of(dead_letter(job, fifo=False))
    again = retry_by_hand(job, rules=RULES, token="again", now=START).after
    assert judge_letter(letter, again, START) is Fate.DELETE
    failed_again = replace(job, sends=again.sends, lease=again.lease)
    assert judge_letter(letter, failed_again, START) is Fate.DELETE


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.FAILED])
def test_our_letter_of_any_other_job_goes(job_factory: JobFactory, phase: Phase) -> None:
    job = job_factory(phase)
    assert judge_letter(letter_of(dead_letter(job, fifo=False)), job, START) is Fate.DELETE


def test_letters_of_no_job_go_and_unreadable_ones_stay(job_factory: JobFactory) -> None:
    assert judge_letter(letter_of(encode(job_factory(), fifo=False)), None, START) is Fate.DELETE
    assert judge_letter(read_letter("no json", {}), None, START) is Fate.FOREIGN


def test_a_job_whose_message_sqs_took_away_is_sent_again(job_factory: JobFactory) -> None:
    queued = note_sent(job_factory(), START).after
    retrying = job_factory(Phase.RETRYING)
    for job in (queued, retrying):
        assert judge_letter(letter_of(encode(job, fifo=False)), job, START) is Fate.RESEND


def test_a_job_that_the_relay_looks_at_anyway_needs_no_letter(job_factory: JobFactory) -> None:
    owed = claim_send(job_factory(), rules=RULES, token="t", now=START).after
    lost = job_factory(Phase.RUNNING)
    for job in (owed, job_factory(Phase.SCHEDULED), job_factory(Phase.SUCCEEDED)):
        assert judge_letter(letter_of(encode(job, fifo=False)), job, START) is Fate.DELETE
    assert judge_letter(letter_of(encode(lost, fifo=False)), lost, later(START, 61)) is Fate.DELETE


def test_a_job_that_is_running_is_left_to_its_worker(job_factory: JobFactory) -> None:
    sent = note_sent(job_factory(), START).after
    running = begin(sent, owner="w", token="t", expires_at=later(START, 60), now=START).after
    assert judge_letter(letter_of(encode(running, fifo=False)), running, START) is Fate.KEEP


def test_a_failed_job_gets_a_letter_of_its_own(job_factory: JobFactory) -> None:
    job = job_factory(Phase.FAILED)
    moved = letter_of(encode(job, fifo=False))
    assert judge_letter(moved, job, START) is Fate.DELETE
    assert judge_letter(moved, settled(job), START) is Fate.REPLACE


def test_letters_of_one_ordering_key_do_not_hide_each_other(job_factory: JobFactory) -> None:
    job = job_factory(Phase.FAILED, ordering_key="customer-7")
    assert dead_letter(job, fifo=FIFO_RULES.fifo).group_id == job.id
    assert encode(job, fifo=True).group_id == "customer-7"
