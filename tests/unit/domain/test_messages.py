from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_core.domain.errors import MessageFormatError
from jobqueue_core.domain.ids import JobIds
from jobqueue_core.domain.job import JobError, Phase
from jobqueue_core.domain.message import GROUP_ID, attribute_text, dead_letter, decode, encode
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import JobFactory

JOB_ID = "019c1363-4aba-7000-8000-000000000000"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_message_carries_the_id_and_nothing_that_could_go_stale(job_factory: JobFactory) -> None:
    job = job_factory(id=JOB_ID, traceparent=TRACE)
    message = encode(job, fifo=False)
    assert message.body == f'{{"v":1,"jobId":"{JOB_ID}"}}'
    assert message.attributes == {"queue": "jobs", "traceparent": TRACE}


@pytest.mark.parametrize(
    ("key", "fifo", "group_id", "deduplication_id"),
    [
        (None, False, None, None),
        ("customer-7", False, "customer-7", None),
        (None, True, JOB_ID, f"{JOB_ID}-2"),
        ("customer-7", True, "customer-7", f"{JOB_ID}-2"),
    ],
)
def test_groups_and_deduplication(
    job_factory: JobFactory,
    key: str | None,
    fifo: bool,  # noqa: FBT001
    group_id: str | None,
    deduplication_id: str | None,
) -> None:
    message = encode(job_factory(id=JOB_ID, ordering_key=key, sends=2), fifo=fifo)
    assert (message.group_id, message.deduplication_id) == (group_id, deduplication_id)


@given(st.datetimes(START.replace(tzinfo=None), timezones=st.just(UTC)), st.booleans())
def test_what_is_encoded_is_decoded(moment: datetime, fifo: bool) -> None:  # noqa: FBT001
    job = replace(JobFactory()(), id=JobIds().new(moment))
    assert decode(encode(job, fifo=fifo).body) == job.id


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ('{"v": 1', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 10_000, "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("{}", "v must be 1, got null"),
        (f'{{"jobId": "{JOB_ID}"}}', "v must be 1, got null"),
        (f'{{"v": 2, "jobId": "{JOB_ID}"}}', "v must be 1, got 2"),
        (f'{{"v": "1", "jobId": "{JOB_ID}"}}', 'v must be 1, got "1"'),
        (f'{{"v": true, "jobId": "{JOB_ID}"}}', "v must be 1, got true"),
        ('{"v": 1}', "jobId must be a job id (UUID version 7), got null"),
        ('{"v": 1, "jobId": 7}', "got 7"),
        ('{"v": 1, "jobId": "7"}', 'got "7"'),
        ('{"v": 1, "jobId": "\\ud800"}', "jobId must be"),
        (f'{{"v": 1, "jobId": "{JOB_ID.upper()}"}}', "jobId must be"),
        (f'{{"v": 1, "jobId": ["{JOB_ID}"]}}', "jobId must be"),
    ],
    ids=range(19),
)
def test_a_foreign_body_is_refused_with_its_reason(body: str, why: str) -> None:
    with pytest.raises(MessageFormatError) as refused:
        decode(body)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 200


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_body_breaks_the_decoder(body: str) -> None:
    with pytest.raises(MessageFormatError):
        decode(body)


def test_fields_of_a_later_version_are_no_harm() -> None:
    assert decode(f'{{"v": 1, "jobId": "{JOB_ID}", "hint": "new"}}') == JOB_ID


def test_a_dead_letter_is_the_message_with_its_error(job_factory: JobFactory) -> None:
    error = JobError("boom\x00\n" + "x" * 1000, 503)
    job = job_factory(Phase.FAILED, id=JOB_ID, attempts=3, last_error=error)
    letter = dead_letter(job, fifo=True)
    message = encode(job, fifo=True)
    assert (letter.body, letter.group_id, letter.deduplication_id) == (
        message.body,
        message.group_id,
        message.deduplication_id,
    )
    assert letter.attributes == {
        "queue": "jobs",
        "reason": "failed",
        "attempts": "3",
        "sends": "1",
        "code": "503",
        "error": "boom  " + "x" * 506,
    }


def test_a_dead_letter_without_an_answer_has_no_code(job_factory: JobFactory) -> None:
    letter = dead_letter(job_factory(Phase.FAILED, last_error=JobError("no answer")), fifo=False)
    assert letter.attributes["error"] == "no answer"
    assert "code" not in letter.attributes
    assert dead_letter(job_factory(Phase.FAILED), fifo=False).attributes["error"] == "unknown"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("", "-"),
        (" \n\t ", "-"),
        ("a\x00b\x1bc", "a b c"),
        ("größer 日本", "größer 日本"),
        ("a\ud800b", "a b"),
        ("a\ufffeb", "a b"),
        ("x" * 600, "x" * 512),
    ],
)
def test_the_text_of_an_attribute(text: str, cleaned: str) -> None:
    assert attribute_text(text) == cleaned


@given(st.text(st.characters()))
def test_any_text_becomes_one_that_sqs_takes(text: str) -> None:
    cleaned = attribute_text(text)
    assert 1 <= len(cleaned) <= 512
    assert all(character.isprintable() for character in cleaned)
    assert cleaned.encode()


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("a", True),
        ("customer-7/€"[:-2], True),
        ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("a b", False),
        ("é", False),
        ("a\n", False),
    ],
)
def test_which_ordering_keys_can_be_a_message_group(key: str, allowed: bool) -> None:  # noqa: FBT001
    assert (GROUP_ID.fullmatch(key) is not None) is allowed
