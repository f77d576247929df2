from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from jobqueue_operator.resource.jobqueue import (
    InvalidJobQueueError,
    JobQueue,
    parse,
    scaling_spec,
    schedules,
)
from jobqueue_operator.resource.reference import EXAMPLE
from jobqueue_operator.scaling import (
    BacklogPerReplica,
    DrainSeconds,
    Fallback,
    Hold,
    ScaleDown,
    ScaleUp,
    ScalingSpec,
    Suspend,
)

METADATA = {
    "namespace": "mail",
    "name": "emails",
    "uid": "6f1f",
    "generation": 3,
    "resourceVersion": "41",
    "creationTimestamp": "2026-03-01T12:00:00Z",
}
SMALLEST: dict[str, Any] = {"queue": {"name": "emails"}, "worker": {"scaleTargetRef": {"name": "worker"}}}
URL = {"url": "https://sqs.example/1/mail", "provision": False}
NEVER = {"cron": "0 0 31 2 *", "durationSeconds": 60, "minReplicas": 1}


def body(spec: dict[str, Any], **metadata: object) -> dict[str, Any]:
    return {"metadata": {**METADATA, **metadata}, "spec": spec}


def changed(path: str, value: object) -> dict[str, Any]:
    """The example with another value at a path below the spec."""
    spec = copy.deepcopy(yaml.safe_load(EXAMPLE)["spec"])
    *above, last = path.split(".")
    here = spec
    for part in above:
        here = here[part]
    here[last] = value
    return body(spec)


def problems(jobqueue: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(InvalidJobQueueError) as refused:
        parse(jobqueue)
    return refused.value.problems


def queue(**fields: object) -> JobQueue:
    return parse(body({**SMALLEST, "queue": fields}))


def test_the_example_is_read() -> None:
    jobqueue = parse(
        {
            **body(
                yaml.safe_load(EXAMPLE)["spec"],
                annotations={"jobqueue.dev/wake": "2026-03-01T12:00:01.000Z"},
                finalizers=["jobqueue.dev/queue"],
                deletionTimestamp="2026-03-01T13:00:00Z",
            ),
            "status": {"replicas": 4},
        }
    )

    assert (jobqueue.namespace, jobqueue.name, jobqueue.uid) == ("mail", "emails", "6f1f")
    assert (jobqueue.generation, jobqueue.version) == (3, "41")
    assert jobqueue.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert jobqueue.deleting
    assert jobqueue.annotations == {"jobqueue.dev/wake": "2026-03-01T12:00:01.000Z"}
    assert jobqueue.finalizers == ("jobqueue.dev/queue",)
    assert jobqueue.status == {"replicas": 4}
    assert jobqueue.spec.processor is not None
    assert jobqueue.spec.processor.headers_from[0].secret_key_ref.key == "candidateKey"
    assert scaling_spec(jobqueue.spec) == ScalingSpec(target=BacklogPerReplica(100), max_replicas=20)
    (office,) = schedules(jobqueue.spec)
    assert (office.cron, office.zone, office.duration_seconds, office.min_replicas) == (
        "0 8 * * 1-5",
        UTC,
        36_000,
        2,
    )


def test_the_smallest_has_the_defaults_of_the_example() -> None:
    jobqueue = parse(body(SMALLEST))
    example = parse(body(yaml.safe_load(EXAMPLE)["spec"]))

    assert not jobqueue.deleting
    assert (jobqueue.annotations, jobqueue.finalizers, jobqueue.status) == ({}, (), {})
    assert scaling_spec(jobqueue.spec) == scaling_spec(example.spec)
    assert schedules(jobqueue.spec) == ()
    assert jobqueue.spec.queue == example.spec.queue
    assert jobqueue.spec.retry == example.spec.retry


def test_every_field_of_scaling_reaches_the_policy() -> None:
    scaling = {
        "minReplicas": 1,
        "maxReplicas": 7,
        "target": {"drainSeconds": 90},
        "scaleUp": {"maxFactor": 3},
        "scaleDown": {"stabilizationSeconds": 30, "protectBusy": False},
        "zeroAfterSeconds": 10,
        "onUnknown": {"replicas": 5},
        "schedules": [
            {"cron": "0 8 * * *", "timeZone": "Europe/Berlin", "durationSeconds": 60, "minReplicas": 2}
        ],
    }
    spec = parse(
        body(
            {
                **SMALLEST,
                "scaling": scaling,
                "suspend": "HoldAndDrain",
                "worker": {**SMALLEST["worker"], "concurrency": 4},
            }
        )
    ).spec

    assert scaling_spec(spec) == ScalingSpec(
        target=DrainSeconds(90),
        max_replicas=7,
        min_replicas=1,
        concurrency=4,
        scale_up=ScaleUp(3),
        scale_down=ScaleDown(30, protect_busy=False),
        zero_after_seconds=10,
        on_unknown=Fallback(5),
        suspend=Suspend.HOLD_AND_DRAIN,
    )
    assert schedules(spec)[0].zone == ZoneInfo("Europe/Berlin")


def test_hold_is_the_default_while_the_backlog_is_unknown() -> None:
    assert scaling_spec(parse(changed("scaling.onUnknown", "Hold")).spec).on_unknown == Hold()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "emails"}, ("emails", False, "emails", "emails-dead-letter", "emails")),
        (
            {"name": "emails.fifo", "fifo": True},
            ("emails.fifo", True, "emails", "emails-dead-letter.fifo", "emails.fifo"),
        ),
        (
            {"name": "prod-emails", "jobs": "emails", "deadLetter": {"name": "lost"}},
            ("prod-emails", False, "emails", "lost", "prod-emails"),
        ),
        (URL, ("mail", False, "mail", "mail-dead-letter", "https://sqs.example/1/mail")),
    ],
)
def test_the_names_of_a_queue(fields: dict[str, Any], expected: tuple[str, bool, str, str, str]) -> None:
    spec = queue(**fields).spec.queue

    assert (
        spec.sqs_name,
        spec.is_fifo,
        spec.jobs_name,
        spec.dead_letter_name,
        spec.queue_identity,
    ) == expected


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("queue.name", "e mails", "spec.queue.name: must be a queue name of SQS: "),
        ("queue.name", "e.mails", "spec.queue.name: must be a queue name of SQS: "),
        ("queue.name", "e" * 69, "spec.queue.deadLetter: must be set: the default name is longer than "),
        ("queue.name", None, "spec.queue: must have exactly one of name and url"),
        ("queue", {**URL, "name": "emails"}, "spec.queue: must have exactly one of name and url"),
        ("queue", {"url": URL["url"]}, "spec.queue.provision: must be false where url is given: "),
        ("queue", {**URL, "url": "sqs.example/1/mail"}, "spec.queue.url: must be the http:// or https:// "),
        (
            "queue",
            {**URL, "url": "https://a/" + "e" * 81},
            "spec.queue.url: must be the http:// or https:// ",
        ),
        ("queue.fifo", True, "spec.queue.fifo: must be true when and only when "),
        ("queue", {"name": "e.fifo", "fifo": False}, "spec.queue.fifo: must be true when and only when "),
        ("queue.deadLetter.name", "emails", "spec.queue.deadLetter.name: must be a queue of its own, "),
        (
            "queue",
            {**URL, "deadLetter": {"name": "mail"}},
            "spec.queue.deadLetter.name: must be a queue of its own, ",
        ),
        (
            "queue.deadLetter.name",
            "lost.fifo",
            "spec.queue.deadLetter.name: must end in .fifo when and only ",
        ),
        ("queue.jobs", "e.mails", "spec.queue.jobs: must be 1 to 80 letters, digits, - and _"),
        ("queue.visibilityTimeoutSeconds", 30, "spec.queue.visibilityTimeoutSeconds: must be longer than "),
        ("retry.maxAttempts", 4, "spec.queue.deadLetter.maxReceiveCount: must be at least 3 × retry.maxAtt"),
        (
            "retry.backoff.initialSeconds",
            301,
            "spec.retry.backoff.initialSeconds: must be at most maxSeconds",
        ),
        (
            "processor.url",
            "service.example",
            "spec.processor.url: must be an http:// or https:// URL with a ",
        ),
        ("processor.url", "https://u:p@service.example", "spec.processor.url: must not hold a user or pass"),
        ("processor.timeoutSeconds", 0, "spec.processor.timeoutSeconds: input should be greater than 0"),
        ("worker.template", {}, "spec.worker: must have exactly one of scaleTargetRef and template"),
        ("worker.scaleTargetRef", None, "spec.worker: must have exactly one of scaleTargetRef and template"),
        (
            "worker.scaleTargetRef.kind",
            "Job",
            "spec.worker.scaleTargetRef.kind: input should be 'Deployment'",
        ),
        ("scaling.minReplicas", 21, "spec.scaling.minReplicas: must be at most maxReplicas"),
        (
            "scaling.onUnknown",
            {"replicas": 21},
            "spec.scaling.onUnknown.replicas: must be at most maxReplicas",
        ),
        ("scaling.onUnknown", {"replicas": -1}, "spec.scaling.onUnknown.replicas: input should be greater "),
        ("scaling.onUnknown", "Zero", "spec.scaling.onUnknown: must be Hold, or an object with replicas"),
        (
            "scaling.target.drainSeconds",
            5,
            "spec.scaling.target: must have exactly one of backlogPerReplica ",
        ),
        ("scaling.target", {}, "spec.scaling.target: must have exactly one of backlogPerReplica "),
        ("scaling.pollSeconds", 0.5, "spec.scaling.pollSeconds: input should be greater than or equal to 1"),
        ("scaling.minReplica", 1, "spec.scaling.minReplica: unknown field"),
        ("scaling.min_replicas", 1, "spec.scaling.min_replicas: unknown field"),
        (
            "scaling.schedules",
            [{"cron": "0 8 * * *", "durationSeconds": 60}],
            "spec.scaling.schedules[0].minReplicas: must be given",
        ),
        (
            "scaling.schedules",
            [NEVER],
            "spec.scaling.schedules[0].cron: must be a cron expression of a time ",
        ),
        (
            "scaling.schedules",
            [{**NEVER, "cron": "0 8 * * *", "timeZone": "Mars/Base"}],
            "spec.scaling.schedules[0].timeZone: unknown time zone 'Mars/Base'",
        ),
        (
            "scaling.schedules",
            [{**NEVER, "cron": "0 8 * * *", "timeZone": "America"}],
            "spec.scaling.schedules[0].timeZone: unknown time zone 'America'",
        ),
        (
            "scaling.schedules",
            [{**NEVER, "cron": "0 8 * * *", "minReplicas": 21}],
            "spec.scaling.schedules: must have minReplicas of at most maxReplicas",
        ),
        (
            "schedules",
            [{"name": "a", "cron": "0 0 31 2 *"}],
            "spec.schedules[0].cron: must be a cron expression of a time that comes (bad day-of-month)",
        ),
        (
            "schedules",
            [{"name": "a", "cron": "0 3 * * *"}, {"name": "b", "cron": "0 3 * * *", "timeZone": "Mars/Base"}],
            "spec.schedules[1].timeZone: must be the name of a time zone of the IANA database",
        ),
        (
            "schedules",
            [{"name": "a", "cron": "0 3 * * *", "labels": {"a b": "c"}}],
            "spec.schedules[0].labels: must be at most 15 texts; keys and values are 1 to 63",
        ),
        (
            "schedules",
            [{"name": "a", "cron": "0 3 * * *", "payload": {"text": "x" * 65_536}}],
            "spec.schedules[0].payload: must be at most 65536 bytes of JSON",
        ),
        (
            "schedules",
            [{"name": "a", "cron": "0 3 * * *"}, {"name": "a", "cron": "0 4 * * *"}],
            "spec.schedules: must have one entry a name",
        ),
        ("schedules", [{"name": "a"}], "spec.schedules[0].cron: must be given"),
        ("suspend", "Yes", "spec.suspend: input should be 'None', 'Hold' or 'HoldAndDrain'"),
    ],
)
def test_a_broken_rule_is_said_with_its_field(path: str, value: object, problem: str) -> None:
    assert [each.startswith(problem) for each in problems(changed(path, value))] == [True]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a b"], "spec.processor.headersFrom[0].name: must be the name of an HTTP header "),
        (["Host"], "spec.processor.headersFrom[0].name: must be the name of an HTTP header "),
        (["key", "KEY"], "spec.processor.headersFrom: must have one entry a header"),
    ],
)
def test_headers_that_cannot_be_sent(names: list[str], problem: str) -> None:
    headers = [{"name": name, "secretKeyRef": {"name": "secret", "key": "key"}} for name in names]

    assert [each.startswith(problem) for each in problems(changed("processor.headersFrom", headers))] == [
        True
    ]


def test_a_template_needs_a_service_and_names_no_variable_twice() -> None:
    template = {"worker": {"template": {"env": [{"name": "A"}]}}, "queue": {"name": "emails"}}
    service = {"processor": {"url": "http://service.example"}}
    twice = {**template, **service, "worker": {"template": {"env": [{"name": "A"}, {"name": "A"}]}}}

    assert problems(body(template))[0].startswith("spec.processor: must be given where worker.template is")
    assert problems(body(twice)) == ("spec.worker.template.env: must have one entry a name",)
    made = parse(body({**template, **service})).spec.worker.template
    assert made is not None
    assert made.env == ({"name": "A"},)


def test_every_problem_is_told() -> None:
    spec = {"queue": {"name": "a b"}, "worker": {}, "scaling": {"maxReplicas": 0}, "more": 1}

    assert [problem.split(": ")[0] for problem in problems(body(spec))] == [
        "spec.queue.name",
        "spec.worker",
        "spec.scaling.maxReplicas",
        "spec.more",
    ]


def test_without_a_spec_it_says_what_must_be_given() -> None:
    assert problems({"metadata": METADATA}) == ("spec.queue: must be given", "spec.worker: must be given")


def test_a_name_that_is_no_label_is_refused() -> None:
    assert problems(body(SMALLEST, name="a" * 64)) == (
        "metadata.name: must be at most 63 characters: it is the value of a label",
    )
    assert parse(body(SMALLEST, name="a" * 63)).name == "a" * 63
