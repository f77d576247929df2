from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Lines, Load

FILE = "[from file config/application.yaml:1]"
KEY = "0" * 64

VALUES = {
    "whole number in a range": (
        "retry: {max_attempts: 0}",
        f"retry.max_attempts: must be a whole number from 1 to 100 (got 0) {FILE}",
    ),
    "no number": (
        "worker: {concurrency: many}",
        f"worker.concurrency: must be a whole number from 1 to 1000 (got 'many') {FILE}",
    ),
    "a fraction of a whole number": (
        "retry: {max_attempts: 1.5}",
        f"retry.max_attempts: must be a whole number from 1 to 100 (got 1.5) {FILE}",
    ),
    "infinite": (
        "worker: {drain_seconds: .inf}",
        f"worker.drain_seconds: must be a number from 0 to 43200 (got inf) {FILE}",
    ),
    "zero time": (
        "processor: {timeout_seconds: 0}",
        f"processor.timeout_seconds: must be a number above 0 and at most 43200 (got 0) {FILE}",
    ),
    "visibility above what SQS allows": (
        "sqs: {visibility_timeout_seconds: 43201}",
        f"sqs.visibility_timeout_seconds: must be a whole number from 1 to 43200 (got 43201) {FILE}",
    ),
    "wait above what SQS allows": (
        "sqs: {receive_wait_seconds: 21}",
        f"sqs.receive_wait_seconds: must be a whole number from 0 to 20 (got 21) {FILE}",
    ),
    "no truth": ("relay: {enabled: maybe}", f"relay.enabled: must be true or false (got 'maybe') {FILE}"),
    "unknown choice": (
        "mongodb: {driver: mongo}",
        f"mongodb.driver: must be pymongo or motor (got 'mongo') {FILE}",
    ),
    "text in place of a section": ("retry: often", f"retry: must be a mapping {FILE}"),
    "text in place of a list": ("api: {auth: {keys: abc}}", f"api.auth.keys: must be a list {FILE}"),
    "number in place of text": ("api: {host: 5}", f"api.host: must be text, not empty (got 5) {FILE}"),
    "name of a database": (
        "mongodb: {database: a b}",
        f"mongodb.database: must be 1 to 63 letters, digits, - and _ (got 'a b') {FILE}",
    ),
    "name of a queue in SQS": (
        "sqs: {queue_name: jobs.fifo.old}",
        (
            "sqs.queue_name: must be a queue name of SQS: 1 to 80 letters, digits, - and _, with "
            ".fifo at the end "
            f"or not (got 'jobs.fifo.old') {FILE}"
        ),
    ),
    "URL of a queue": (
        "sqs: {queue_url: jobs}",
        (
            "sqs.queue_url: must be the http:// or https:// URL of an SQS queue, which ends in the "
            "queue's name "
            f"(got 'jobs') {FILE}"
        ),
    ),
    "name of a queue": (
        "queues: {e.mails: {}}",
        f'queues."e.mails": must be 1 to 80 letters, digits, - and _ {FILE}',
    ),
    "scheme of the processor": (
        "processor: {url: 'ftp://service/jobs'}",
        f"processor.url: must be an http:// or https:// URL with a host (got 'ftp://service/jobs') {FILE}",
    ),
    "credentials in the processor's URL": (
        "processor: {url: 'https://me:canary@service/jobs'}",
        f"processor.url: must not hold a user or password: use headers or headers_from {FILE}",
    ),
    "name of a header": (
        "processor: {headers: {'X Team': a}}",
        f"processor.headers.X Team: must be the name of an HTTP header (RFC 9110, token) {FILE}",
    ),
    "header of the worker": (
        "processor: {headers_from: [{name: traceparent, env: T}]}",
        (
            "processor.headers_from[0].name: must not be a header that the worker sets itself "
            f"(got 'traceparent') {FILE}"
        ),
    ),
    "value of a header": (
        'processor: {headers: {X-Team: "canary\\nb"}}',
        f"processor.headers.X-Team: must be one line of text {FILE}",
    ),
    "variable of a header": (
        "processor: {headers_from: [{name: a, env: 'A B'}]}",
        f"processor.headers_from[0].env: must be the name of an environment variable (got 'A B') {FILE}",
    ),
    "item without a key": (
        "processor: {headers_from: [{name: a}]}",
        f"processor.headers_from[0].env: is required {FILE}",
    ),
    "digest of a key": (
        "api: {auth: {keys: [{name: a, sha256: canary}]}}",
        f"api.auth.keys[0].sha256: must be 64 hexadecimal digits, the SHA-256 of the key {FILE}",
    ),
    "neither Hold nor replicas": (
        "scaling: {on_unknown: hold}",
        f"scaling.on_unknown: must be Hold, or a mapping with replicas (got 'hold') {FILE}",
    ),
    "unknown section": ("retyr: {max_attempts: 2}", f"retyr: unknown setting; did you mean retry? {FILE}"),
    "unknown key": (
        "retry: {max_atempts: 2}",
        f"retry.max_atempts: unknown setting; did you mean retry.max_attempts? {FILE}",
    ),
    "key in the wrong section": (
        "worker: {max_attempts: 2}",
        f"worker.max_attempts: unknown setting; did you mean retry.max_attempts? {FILE}",
    ),
    "unknown key like no other": ("zzz: canary", f"zzz: unknown setting {FILE}"),
    "key of a queue that no queue has": (
        "queues: {emails: {worker: {drain_seconds: 3}}}",
        "queues.emails.worker.drain_seconds: unknown setting; did you mean worker.drain_seconds? " + FILE,
    ),
    "secret of no setting": (
        "secrets: {mongodb.url: {secret_id: a}}",
        f'secrets."mongodb.url": names no setting; did you mean mongodb.uri? {FILE}',
    ),
    "secret of a secret": (
        "secrets: {secrets.mongodb: {secret_id: a}}",
        f'secrets."secrets.mongodb": names no setting {FILE}',
    ),
}

RELATIONS = {
    "visibility at the time-out": (
        "sqs: {visibility_timeout_seconds: 30}",
        (
            "sqs.visibility_timeout_seconds: must be longer than processor.timeout_seconds (30), "
            "or the message "
            f"appears again while its job still runs (got 30) {FILE}"
        ),
    ),
    "time-out of a queue": (
        "queues: {emails: {processor: {timeout_seconds: 90}}}",
        (
            "queues.emails.processor.timeout_seconds: must be shorter than "
            "sqs.visibility_timeout_seconds (60), or "
            f"the message appears again while its job still runs (got 90) {FILE}"
        ),
    ),
    "visibility of a queue": (
        "queues: {emails: {sqs: {visibility_timeout_seconds: 5}}}",
        (
            "queues.emails.sqs.visibility_timeout_seconds: must be longer than "
            "processor.timeout_seconds (30), or "
            f"the message appears again while its job still runs (got 5) {FILE}"
        ),
    ),
    "receives": (
        "sqs: {dead_letter: {max_receive_count: 8}}",
        (
            "sqs.dead_letter.max_receive_count: must be at least 3 × retry.max_attempts (3): "
            "shutdowns of workers "
            f"consume receives too (got 8) {FILE}"
        ),
    ),
    "attempts of a queue": (
        "queues: {emails: {retry: {max_attempts: 4}}}",
        (
            "queues.emails.retry.max_attempts: 3 × this must be at most "
            "sqs.dead_letter.max_receive_count (10): "
            f"shutdowns of workers consume receives too (got 4) {FILE}"
        ),
    ),
    "backoff": (
        "retry: {backoff: {initial_seconds: 9, max_seconds: 8}}",
        "retry.backoff.initial_seconds: must be at most retry.backoff.max_seconds (8) (got 9) " + FILE,
    ),
    "backoff of a queue": (
        "queues: {emails: {retry: {backoff: {max_seconds: 1}}}}",
        "queues.emails.retry.backoff.max_seconds: must be at least retry.backoff.initial_seconds (2) (got 1) "
        + FILE,
    ),
    "replicas": (
        "scaling: {min_replicas: 5}",
        f"scaling.min_replicas: must be at most scaling.max_replicas (4) (got 5) {FILE}",
    ),
    "replicas while unknown": (
        "scaling: {on_unknown: {replicas: 5}}",
        f"scaling.on_unknown.replicas: must be at most scaling.max_replicas (4) (got 5) {FILE}",
    ),
    "two targets": (
        "scaling: {target: {backlog_per_replica: 1, drain_seconds: 1}}",
        (
            "scaling.target: must have exactly one of backlog_per_replica and drain_seconds: both "
            "are set, give one "
            f"null {FILE}"
        ),
    ),
    "no target": (
        "scaling: {target: {backlog_per_replica: null}}",
        "scaling.target: must have exactly one of backlog_per_replica and drain_seconds: neither is set "
        + FILE,
    ),
    "authentication without keys": (
        "api: {auth: {enabled: true}}",
        f"api.auth.enabled: must be false while api.auth.keys is empty (got true) {FILE}",
    ),
    "two keys of one name": (
        f"api: {{auth: {{keys: [{{name: a, sha256: '{KEY}'}}, {{name: a, sha256: '{KEY}'}}]}}}}",
        f"api.auth.keys: must have one key a name, one has 2 (got 'a') {FILE}",
    ),
    "name and URL": (
        "sqs: {queue_name: a, queue_url: 'https://sqs/1/a'}",
        f"sqs.queue_url: must not be set together with sqs.queue_name: the URL names the queue {FILE}",
    ),
    "create a URL": (
        "sqs: {create: true, queue_url: 'https://sqs/1/a'}",
        f"sqs.create: must be false where sqs.queue_url is set: create needs a name (got true) {FILE}",
    ),
    "default dead-letter name too long": (
        f"sqs: {{queue_name: {'a' * 69}}}",
        (
            "sqs.dead_letter.queue_name: must be set: the default name is longer than the 80 "
            "characters of SQS "
            f"(got '{'a' * 69}-dead-letter')"
        ),
    ),
    "standard dead letters of a FIFO queue": (
        "sqs: {queue_name: a.fifo, dead_letter: {queue_name: dead}}",
        (
            "sqs.dead_letter.queue_name: must end in .fifo: a dead-letter queue is of the kind of its queue "
            f"(got 'dead') {FILE}"
        ),
    ),
    "FIFO dead letters of a standard queue": (
        "queues: {emails: {sqs: {dead_letter: {queue_name: dead.fifo}}}}",
        (
            "queues.emails.sqs.dead_letter.queue_name: must not end in .fifo: a dead-letter queue is of the "
            f"kind of its queue (got 'dead.fifo') {FILE}"
        ),
    ),
    "one SQS queue for two": (
        "queues: {emails: {sqs: {queue_name: jobs}}}",
        (
            "queues.emails.sqs.queue_name: must be a queue of its own: sqs.queue_name is the same "
            "queue in SQS "
            f"(got 'jobs') {FILE}"
        ),
    ),
    "dead letters into another queue": (
        "queues: {emails: {sqs: {dead_letter: {queue_name: jobs}}}}",
        (
            "queues.emails.sqs.dead_letter.queue_name: must be a queue of its own: sqs.queue_name "
            "is the same queue "
            f"in SQS (got 'jobs') {FILE}"
        ),
    ),
    "names that differ in case": (
        "queues: {emails: {}, Emails: {}}",
        (
            f"queues.Emails: must differ from queue 'emails' in more than case: environment variables "
            f"have none {FILE}"
        ),
    ),
}


@pytest.mark.parametrize(("text", "line"), VALUES.values(), ids=VALUES.keys())
def test_a_wrong_value_is_one_line(lines: Lines, text: str, line: str) -> None:
    assert lines(text) == [line]


@pytest.mark.parametrize(("text", "line"), RELATIONS.values(), ids=RELATIONS.keys())
def test_a_broken_relation_is_one_line(lines: Lines, text: str, line: str) -> None:
    assert lines(text) == [line]


def test_a_default_that_breaks_a_rule_has_no_source(lines: Lines) -> None:
    assert lines("sqs: {queue_name: a}\nprocessor: {timeout_seconds: 60}") == [
        (
            "sqs.visibility_timeout_seconds: must be longer than processor.timeout_seconds (60), "
            "or the message "
            "appears again while its job still runs (got 60)"
        )
    ]


def test_a_rule_that_every_queue_inherits_is_told_once(lines: Lines) -> None:
    assert len(lines("sqs: {visibility_timeout_seconds: 3}\nqueues: {a: {}, b: {}}")) == 1


def test_everything_is_told_at_once(lines: Lines) -> None:
    text = "retry: {max_attempts: 0}\nlogging: {format: xml}\nscaling: {min_replicas: 9}\nsecret: 1"
    told = [line.split(":")[0] for line in lines(text, {"JOBQUEUE_API__PORT": "x"})]
    assert sorted(told) == [
        "api.port",
        "logging.format",
        "retry.max_attempts",
        "scaling.min_replicas",
        "secret",
    ]


def test_a_relation_of_a_wrong_value_is_not_told(lines: Lines) -> None:
    assert len(lines("sqs: {visibility_timeout_seconds: 0}\nprocessor: {timeout_seconds: 4000}")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "sqs: {visibility_timeout_seconds: 31}",
        "sqs: {dead_letter: {max_receive_count: 9}}",
        "retry: {backoff: {initial_seconds: 8, max_seconds: 8}}",
        "scaling: {min_replicas: 4, max_replicas: 4}",
        "scaling: {target: {drain_seconds: 60}, on_unknown: {replicas: 2}}",
        f"api: {{auth: {{enabled: true, keys: [{{name: a, sha256: '{KEY}'}}]}}}}",
        "queues: {emails: {sqs: {visibility_timeout_seconds: 100}, processor: {timeout_seconds: 90}}}",
    ],
)
def test_what_just_holds_is_accepted(load: Load, text: str) -> None:
    assert load(text).queue_names[0] == "default"
