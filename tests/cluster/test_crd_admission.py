"""What a real API server accepts and refuses of JobQueues, and with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobqueue_testsupport.kube.api import GROUP, KubeRefusedError, namespaced
from jobqueue_testsupport.kube.manifests import keeps, smallest

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.cluster import Cluster

TEMPLATE = {"scaleTargetRef": None, "template": {"image": "registry.invalid/worker:1"}}
URL = "https://sqs.eu-central-1.amazonaws.com/000000000000/emails"


def schedule(cron: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of the schedule
    """Return the section `scaling` with one schedule."""
    return {"schedules": [{"cron": cron, "durationSeconds": 3600, "minReplicas": 1, **more}]}


def recurring(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of the schedule
    """Return the section `schedules` with one recurring job."""
    return {"schedules": [{"name": "nightly", "cron": "0 3 * * *", **fields}]}


def refusal(cluster: Cluster, namespace: str, body: dict[str, Any]) -> str:
    """Return with which words an object is refused; fail when it is not, or when it is stored."""
    path = namespaced(GROUP, "jobqueues", namespace)
    with pytest.raises(KubeRefusedError) as caught:
        cluster.api.create(path, body)
    assert caught.value.status in {400, 422}
    assert cluster.api.list(path) == []
    return caught.value.message


FIVE_FIELDS = "must be a cron expression of five fields"
SQS_NAME = "must be a queue name of SQS: 1 to 80 letters, digits, - and _, with .fifo at the end or not"
ONE_TARGET = "must have exactly one of backlogPerReplica and drainSeconds"
ONE_WORKER = "must have exactly one of scaleTargetRef and template"
ONE_QUEUE = "must have exactly one of name and url"
FIFO = "must be true when and only when the queue's name ends in .fifo"
# What is merged into the smallest JobQueue, the field that is blamed, and the rule in words.
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "both targets": (
        {"scaling": {"target": {"backlogPerReplica": 1, "drainSeconds": 60}}},
        "spec.scaling.target",
        ONE_TARGET,
    ),
    "a target without either": ({"scaling": {"target": {}}}, "spec.scaling.target", ONE_TARGET),
    "min above max": (
        {"scaling": {"minReplicas": 5, "maxReplicas": 4}},
        "spec.scaling.minReplicas",
        "must be at most maxReplicas",
    ),
    "min above the default max": (
        {"scaling": {"minReplicas": 21}},
        "spec.scaling.minReplicas",
        "must be at most maxReplicas",
    ),
    "a schedule above max": (
        {"scaling": {"maxReplicas": 2, **schedule("0 8 * * *", minReplicas=3)}},
        "spec.scaling.schedules",
        "must have minReplicas of at most maxReplicas",
    ),
    "an unknown field": (
        {"scaling": {"maxReplica": 4}},
        "spec.scaling.maxReplica",
        'unknown field "spec.scaling.maxReplica"',
    ),
    "an unknown section": ({"scalling": {}}, "spec.scalling", 'unknown field "spec.scalling"'),
    "a recurring job without a name": (
        {"schedules": [{"cron": "0 3 * * *"}]},
        "spec.schedules[0].name",
        "Required value",
    ),
    "a recurring job whose name is no label": (
        recurring(name="a b"),
        "spec.schedules[0].name",
        "must be 1 to 63 letters, digits, - and _",
    ),
    "a recurring job's cron": (recurring(cron="0 3 * *"), "spec.schedules[0].cron", FIVE_FIELDS),
    "a recurring job's time zone": (
        recurring(timeZone="Europe Berlin"),
        "spec.schedules[0].timeZone",
        "must be the name of a time zone",
    ),
    "a recurring job's policy": (
        recurring(missed="never"),
        "spec.schedules[0].missed",
        'supported values: "skip", "latest", "all"',
    ),
    "a recurring job's label": (
        recurring(labels={"team": "a b"}),
        "spec.schedules[0].labels[team]",
        "keys and values must be 1 to 63 of the characters",
    ),
    "a recurring job's floor": (
        recurring(minReplicas=1),
        "spec.schedules[0].minReplicas",
        'unknown field "spec.schedules[0].minReplicas"',
    ),
    "two recurring jobs of one name": (
        {"schedules": [{"name": "a", "cron": "0 3 * * *"}, {"name": "a", "cron": "0 4 * * *"}]},
        "spec.schedules[1]",
        "Duplicate value",
    ),
    "cron with six fields": (
        {"scaling": schedule("0 0 8 * * *")},
        "spec.scaling.schedules[0].cron",
        FIVE_FIELDS,
    ),
    "cron with four fields": (
        {"scaling": schedule("0 8 * * ")},
        "spec.scaling.schedules[0].cron",
        FIVE_FIELDS,
    ),
    "cron in words": ({"scaling": schedule("every morning")}, "spec.scaling.schedules[0].cron", FIVE_FIELDS),
    "cron macro": ({"scaling": schedule("@daily     ")}, "spec.scaling.schedules[0].cron", FIVE_FIELDS),
    "cron minute 60": ({"scaling": schedule("60 8 * * *")}, "spec.scaling.schedules[0].cron", FIVE_FIELDS),
    "cron hour 24": ({"scaling": schedule("0 24 * * *")}, "spec.scaling.schedules[0].cron", FIVE_FIELDS),
    "cron month 13": ({"scaling": schedule("0 8 * 13 *")}, "spec.scaling.schedules[0].cron", FIVE_FIELDS),
    "cron weekday 8": ({"scaling": schedule("0 8 * * 8")}, "spec.scaling.schedules[0].cron", FIVE_FIELDS),
    "cron step 0": ({"scaling": schedule("*/0 8 * * *")}, "spec.scaling.schedules[0].cron", FIVE_FIELDS),
    "cron range backwards": (
        {"scaling": schedule("0 18-8 * * *")},
        "spec.scaling.schedules[0].cron",
        "must not run backwards",
    ),
    "a time zone that is none": (
        {"scaling": schedule("0 8 * * *", timeZone="Europe/Ber lin")},
        "spec.scaling.schedules[0].timeZone",
        "must be the name of a time zone",
    ),
    "on unknown: Drop": ({"scaling": {"onUnknown": "Drop"}}, "spec.scaling.onUnknown", "Hold"),
    "on unknown: a number": (
        {"scaling": {"onUnknown": 3}},
        "spec.scaling.onUnknown",
        "spec.scaling.onUnknown",
    ),
    "a poll of no time": (
        {"scaling": {"pollSeconds": 0}},
        "spec.scaling.pollSeconds",
        "greater than or equal to 1",
    ),
    "neither name nor url": ({"queue": {"name": None}}, "spec.queue", ONE_QUEUE),
    "both name and url": ({"queue": {"url": URL, "provision": False}}, "spec.queue", ONE_QUEUE),
    "a url to provision": (
        {"queue": {"name": None, "url": URL}},
        "spec.queue.provision",
        "must be false where url is given",
    ),
    "a url that is none": (
        {"queue": {"name": None, "url": "emails", "provision": False}},
        "spec.queue.url",
        "must be the http:// or https:// URL of an SQS queue",
    ),
    "a name with a dot": ({"queue": {"name": "emails.v2"}}, "spec.queue.name", SQS_NAME),
    "a name with a space": ({"queue": {"name": "my emails"}}, "spec.queue.name", SQS_NAME),
    "an empty name": ({"queue": {"name": ""}}, "spec.queue.name", SQS_NAME),
    "a name that is only .fifo": ({"queue": {"name": ".fifo"}}, "spec.queue.name", SQS_NAME),
    "a name of 81 letters": ({"queue": {"name": "e" * 81}}, "spec.queue.name", "80"),
    "a name too long for its dead-letter queue": (
        {"queue": {"name": "e" * 69}},
        "spec.queue.deadLetter",
        "the default name is longer than the 80 characters of SQS",
    ),
    "fifo with a standard name": ({"queue": {"fifo": True}}, "spec.queue.fifo", FIFO),
    "not fifo with a fifo name": ({"queue": {"name": "emails.fifo", "fifo": False}}, "spec.queue.fifo", FIFO),
    "a fifo queue with a standard dead-letter queue": (
        {"queue": {"name": "emails.fifo", "deadLetter": {"name": "dead"}}},
        "spec.queue.deadLetter.name",
        "must end in .fifo when and only when the queue's name does",
    ),
    "a queue that is its own dead-letter queue": (
        {"queue": {"deadLetter": {"name": "emails"}}},
        "spec.queue.deadLetter.name",
        "must be a queue of its own",
    ),
    "too few receives for the attempts": (
        {"retry": {"maxAttempts": 4}},
        "spec.queue.deadLetter.maxReceiveCount",
        "must be at least 3 × retry.maxAttempts",
    ),
    "a deletion policy that is none": (
        {"queue": {"deletionPolicy": "Keep"}},
        "spec.queue.deletionPolicy",
        '"Retain", "Delete"',
    ),
    "invisible for too long": (
        {"queue": {"visibilityTimeoutSeconds": 43_201}},
        "spec.queue.visibilityTimeoutSeconds",
        "43200",
    ),
    "visible again before the call may end": (
        {"processor": {"url": "https://service.example", "timeoutSeconds": 60}},
        "spec.queue.visibilityTimeoutSeconds",
        "must be longer than processor.timeoutSeconds",
    ),
    "neither target nor template": ({"worker": {"scaleTargetRef": None}}, "spec.worker", ONE_WORKER),
    "both target and template": ({"worker": {"template": {"image": "a"}}}, "spec.worker", ONE_WORKER),
    "a template without a processor": (
        {"worker": TEMPLATE},
        "spec.processor",
        "must be given where worker.template is",
    ),
    "a target of another kind": (
        {"worker": {"scaleTargetRef": {"kind": "StatefulSet"}}},
        "spec.worker.scaleTargetRef.kind",
        '"Deployment"',
    ),
    "no concurrency": (
        {"worker": {"concurrency": 0}},
        "spec.worker.concurrency",
        "greater than or equal to 1",
    ),
    "a header of the worker's own": (
        {
            "processor": {
                "url": "https://service.example",
                "headersFrom": [{"name": "Idempotency-Key", "secretKeyRef": {"name": "a", "key": "b"}}],
            }
        },
        "spec.processor.headersFrom[0].name",
        "not of one that the worker sets itself",
    ),
    "one header twice": (
        {
            "processor": {
                "url": "https://service.example",
                "headersFrom": [
                    {"name": "X-Key", "secretKeyRef": {"name": "a", "key": "b"}},
                    {"name": "x-key", "secretKeyRef": {"name": "a", "key": "c"}},
                ],
            }
        },
        "spec.processor.headersFrom",
        "must have one entry a header; names are compared without case",
    ),
    "a backoff that begins above its end": (
        {"retry": {"backoff": {"initialSeconds": 10, "maxSeconds": 5}}},
        "spec.retry.backoff.initialSeconds",
        "must be at most maxSeconds",
    ),
    "suspend: Stop": ({"suspend": "Stop"}, "spec.suspend", '"None", "Hold", "HoldAndDrain"'),
    "no queue": ({"queue": None}, "spec.queue", "Required value"),
    "no worker": ({"worker": None}, "spec.worker", "Required value"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_with_the_field_and_the_rule_and_nothing_is_stored(
    cluster: Cluster, namespace: str, case: str
) -> None:
    changes, field, rule = REFUSED[case]
    message = refusal(cluster, namespace, smallest(**changes))
    assert field in message
    assert rule in message


def test_a_name_that_is_no_label_is_refused(cluster: Cluster, namespace: str) -> None:
    body = smallest()
    body["metadata"]["name"] = "e" * 64
    assert "63 characters" in refusal(cluster, namespace, body)


IDENTITY = {
    "name": {"name": "letters"},
    "name to url": {"name": None, "url": URL, "provision": False},
    "jobs": {"jobs": "letters"},
    "no jobs": {"jobs": None},
    "fifo": {"fifo": None},
}


@pytest.mark.parametrize("case", IDENTITY)
def test_the_identity_of_the_queue_cannot_be_changed(cluster: Cluster, namespace: str, case: str) -> None:
    path = namespaced(GROUP, "jobqueues", namespace)
    before = cluster.api.create(path, smallest(queue={"jobs": "mails", "fifo": False}))
    with pytest.raises(KubeRefusedError) as caught:
        cluster.api.patch(f"{path}/emails", {"spec": {"queue": IDENTITY[case]}})
    assert caught.value.status == 422
    assert "must not change: a JobQueue keeps its queue" in caught.value.message
    assert "spec.queue." in caught.value.message
    assert cluster.api.get(f"{path}/emails") == before


def test_what_is_not_identity_can_be_changed(cluster: Cluster, namespace: str) -> None:
    path = namespaced(GROUP, "jobqueues", namespace)
    cluster.api.create(path, smallest())
    changes = {
        "queue": {"visibilityTimeoutSeconds": 90, "deletionPolicy": "Delete"},
        "scaling": {"maxReplicas": 7},
        "suspend": "Hold",
    }
    changed = cluster.api.patch(f"{path}/emails", {"spec": changes})
    assert keeps(changed["spec"], changes)
    assert changed["metadata"]["generation"] == 2


ACCEPTED: dict[str, dict[str, Any]] = {
    "recurring jobs": recurring(
        timeZone="Europe/Berlin",
        missed="all",
        payload={"kind": "digest", "to": [{"any": 1}]},
        maxAttempts=5,
        timeoutSeconds=1.5,
        orderingKey="k#1",
        labels={"team": "mail/eu"},
        suspended=True,
    ),
    "a fifo queue": {"queue": {"name": "emails.fifo"}},
    "a fifo queue that says so": {"queue": {"name": "emails.fifo", "fifo": True}},
    "a url": {"queue": {"name": None, "url": URL, "provision": False}},
    "drain seconds": {"scaling": {"target": {"drainSeconds": 60}}},
    "a template": {"worker": TEMPLATE, "processor": {"url": "https://service.example"}},
    "a fallback": {"scaling": {"onUnknown": {"replicas": 3}}},
    "a time zone": {"scaling": schedule("*/15 8-18 * jan-mar,12 mon-fri", timeZone="Europe/Berlin")},
    "the last day of the month": {"scaling": schedule("0 8 L * *")},
    "never above zero": {"scaling": {"minReplicas": 0, "maxReplicas": 1}},
    "a service that is no url yet": {"processor": {"url": "to be told"}},
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_good_input_is_accepted(cluster: Cluster, namespace: str, case: str) -> None:
    body = smallest(**ACCEPTED[case])
    stored = cluster.api.create(namespaced(GROUP, "jobqueues", namespace), body)
    assert keeps(stored["spec"], body["spec"])
