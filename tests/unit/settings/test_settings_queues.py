from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.settings.errors import SettingsError
from jobqueue_core.settings.queue import (
    UnknownQueueError,
    dead_letter_name,
    drain_seconds,
    request_headers,
    require_processor_url,
)

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Load

TEXT = """
sqs:
  queue_name: main
  visibility_timeout_seconds: 100
  dead_letter: {queue_name: main-dead, max_receive_count: 20}
processor: {url: "https://a.example", timeout_seconds: 20, headers: {A: "1", B: "1"}}
retry: {max_attempts: 4, backoff: {initial_seconds: 1, factor: 3}}
worker: {concurrency: 7}
retention: {failed_seconds: 50}
queues:
  emails:
    processor: {url: "https://b.example", headers: {b: "2"}}
    retry: {backoff: {factor: 5}}
    worker: {concurrency: 8}
  reports: {sqs: {queue_url: "https://sqs.example/1/reports.fifo"}, retention: {failed_seconds: 60}}
"""


def test_a_queue_inherits_all_but_what_it_sets(load: Load) -> None:
    queue = load(TEXT).queue("emails")
    assert (queue.processor.url, queue.processor.timeout_seconds) == ("https://b.example", 20)
    assert (queue.retry.max_attempts, queue.retry.backoff.initial_seconds, queue.retry.backoff.factor) == (
        4,
        1,
        5,
    )
    assert (queue.concurrency, queue.retention.failed_seconds) == (8, 50)
    assert (queue.sqs.visibility_timeout_seconds, queue.sqs.max_receive_count) == (100, 20)


def test_names_in_sqs_are_not_inherited(load: Load) -> None:
    settings = load(TEXT)
    names = {
        name: (settings.queue(name).sqs.queue_name, settings.queue(name).sqs.dead_letter_queue_name)
        for name in settings.queue_names
    }
    assert names == {
        "default": ("main", "main-dead"),
        "emails": ("emails", "emails-dead-letter"),
        "reports": ("reports.fifo", "reports-dead-letter.fifo"),
    }
    assert [settings.queue(name).sqs.fifo for name in settings.queue_names] == [False, False, True]


def test_the_top_level_is_not_changed_by_a_queue(load: Load) -> None:
    settings = load(TEXT)
    settings.queue("emails")
    assert (settings.queue().retry.backoff.factor, settings.retry.backoff.factor) == (3, 3)
    assert settings.queue("reports").retention.failed_seconds == 60


def test_the_default_queue_always_exists(load: Load) -> None:
    settings = load("default_queue: main")
    assert settings.queue_names == ("main",)
    assert (settings.queue().name, settings.queue().sqs.queue_name) == ("main", "jobs")


def test_the_default_queue_may_have_settings_of_its_own(load: Load) -> None:
    settings = load("retry: {max_attempts: 2}\nqueues: {emails: {}, default: {retry: {max_attempts: 1}}}")
    assert settings.queue_names == ("default", "emails")
    assert [settings.queue(name).retry.max_attempts for name in settings.queue_names] == [1, 2]


def test_an_unknown_queue_names_the_known_ones(load: Load) -> None:
    with pytest.raises(UnknownQueueError) as error:
        load(TEXT).queue("mails")
    assert (error.value.name, error.value.known) == ("mails", ("default", "emails", "reports"))
    assert str(error.value) == "queue 'mails' is not configured; known queues: default, emails, reports"


@pytest.mark.parametrize(("name", "dead"), [("a", "a-dead-letter"), ("a.fifo", "a-dead-letter.fifo")])
def test_dead_letters_have_a_queue_of_the_same_kind(name: str, dead: str) -> None:
    assert dead_letter_name(name) == dead


def test_headers_merge_without_case_and_variables_win(load: Load) -> None:
    queue = load(TEXT, {"JOBQUEUE_PROCESSOR__HEADERS_FROM": '[{"name": "a", "env": "KEY"}]'}).queue("emails")
    assert request_headers(queue, {"KEY": "3"}) == {"a": "3", "b": "2"}


@pytest.mark.parametrize(
    "env", [{}, {"KEY": ""}, {"KEY": "canary\r\nX-Evil: 1"}], ids=["unset", "empty", "two lines"]
)
def test_a_header_without_a_usable_variable_is_an_error(load: Load, env: dict[str, str]) -> None:
    queue = load("processor: {headers_from: [{name: X-Key, env: KEY}]}").queue()
    with pytest.raises(SettingsError) as error:
        request_headers(queue, env)
    assert str(error.value) == (
        "processor.headers_from (queue default): variable KEY must be set, to one line of text: "
        "the value of header "
        "X-Key [from env KEY]"
    )


def test_a_worker_needs_the_url_of_its_service(load: Load) -> None:
    assert require_processor_url(load(TEXT).queue("emails")) == "https://b.example"
    with pytest.raises(SettingsError, match=r"processor\.url \(queue default\): a worker needs it"):
        require_processor_url(load().queue())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{}", 35),
        ("processor: {timeout_seconds: 59}", 64),
        ("processor: {timeout_seconds: 2}", 25),
        ("processor: {timeout_seconds: 2}\nsqs: {receive_wait_seconds: 0}", 7),
        ("worker: {drain_seconds: 0}", 0),
        ("worker: {drain_seconds: 300}", 300),
    ],
)
def test_a_worker_drains_for_as_long_as_a_call_or_a_receive_may_take(
    load: Load, text: str, wanted: float
) -> None:
    settings = load(text)
    assert drain_seconds(settings.worker.drain_seconds, settings.queue()) == wanted
