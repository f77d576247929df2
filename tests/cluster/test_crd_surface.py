"""How JobQueues look to who uses them: defaults, `kubectl get`, `scale` and `explain`, the status apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from jobqueue_testsupport.kube.api import GROUP, namespaced
from jobqueue_testsupport.kube.manifests import keeps, smallest

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.cluster import Cluster

FULL = """
apiVersion: jobqueue.dev/v1alpha1
kind: JobQueue
metadata: { name: emails }
spec:
  queue:
    name: emails
    provision: true
    deletionPolicy: Retain
    visibilityTimeoutSeconds: 60
    deadLetter: { maxReceiveCount: 10 }
  processor:
    url: https://service.example/jobs
    timeoutSeconds: 30
    headersFrom: [ { name: candidateKey, secretKeyRef: { name: processor, key: candidateKey } } ]
    rateLimit: { perSecond: 50, concurrent: 100 }
  retry: { maxAttempts: 3, backoff: { initialSeconds: 2, maxSeconds: 300, factor: 2 } }
  worker:
    scaleTargetRef: { name: jobqueue-worker }
    concurrency: 10
  scaling:
    minReplicas: 0
    maxReplicas: 20
    target: { backlogPerReplica: 100 }
    pollSeconds: 5
    scaleUp: { maxFactor: 10 }
    scaleDown: { stabilizationSeconds: 60, protectBusy: true }
    zeroAfterSeconds: 120
    onUnknown: Hold
    schedules: [ { cron: "0 8 * * 1-5", durationSeconds: 36000, minReplicas: 2 } ]
  schedules: [ { name: digest, cron: "0 6 * * *", timeZone: Europe/Berlin, payload: { kind: digest } } ]
  suspend: None
"""
"""Every field that most people will ever set."""

CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Reconciled",
    "message": "queue and workers are as the spec says",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T12:00:00Z",
}
STATUS = {
    "observedGeneration": 1,
    "replicas": 3,
    "readyReplicas": 2,
    "selector": "app=worker",
    "backlog": {"visible": 40, "inFlight": 2, "delayed": 1},
    "oldestAgeSeconds": 17,
    "conditions": [
        CONDITION,
        {**CONDITION, "type": "Suspended", "status": "False", "reason": "NotSuspended"},
    ],
}


def test_the_full_example_is_taken_as_it_is(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", given=FULL)
    stored = cluster.api.get(namespaced(GROUP, "jobqueues", namespace) + "/emails")
    asked = yaml.safe_load(FULL)["spec"]
    assert keeps(stored["spec"], asked)
    cluster.kubectl("-n", namespace, "apply", "-f", "-", given=FULL)
    again = cluster.api.get(namespaced(GROUP, "jobqueues", namespace) + "/emails")
    assert again["metadata"]["generation"] == 1
    assert again["spec"] == stored["spec"]


def test_kubectl_apply_refuses_an_unknown_field_by_name(cluster: Cluster, namespace: str) -> None:
    typo = FULL.replace("zeroAfterSeconds", "zeroAfterSecond")
    refused = cluster.kubectl("-n", namespace, "apply", "-f", "-", given=typo, check=False)
    assert refused.returncode != 0
    assert "spec.scaling.zeroAfterSecond" in refused.stderr
    assert cluster.api.list(namespaced(GROUP, "jobqueues", namespace)) == []


def test_defaults_are_filled_in(cluster: Cluster, namespace: str) -> None:
    spec = cluster.api.create(namespaced(GROUP, "jobqueues", namespace), smallest())["spec"]
    assert spec == {
        "queue": {
            "name": "emails",
            "provision": True,
            "deletionPolicy": "Retain",
            "visibilityTimeoutSeconds": 60,
            "deadLetter": {"maxReceiveCount": 10},
        },
        "retry": {"maxAttempts": 3, "backoff": {"initialSeconds": 2, "maxSeconds": 300, "factor": 2}},
        "worker": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "jobqueue-worker"},
            "concurrency": 10,
        },
        "scaling": {
            "minReplicas": 0,
            "maxReplicas": 20,
            "pollSeconds": 5,
            "scaleUp": {"maxFactor": 10},
            "scaleDown": {"stabilizationSeconds": 60, "protectBusy": True},
            "zeroAfterSeconds": 120,
            "onUnknown": "Hold",
        },
        "suspend": "None",
    }


def test_a_target_may_be_added_and_exchanged_later(cluster: Cluster, namespace: str) -> None:
    path = namespaced(GROUP, "jobqueues", namespace)
    cluster.api.create(path, smallest())
    added = cluster.api.patch(f"{path}/emails", {"spec": {"scaling": {"target": {"drainSeconds": 60}}}})
    assert added["spec"]["scaling"]["target"] == {"drainSeconds": 60}
    other = {"spec": {"scaling": {"target": {"drainSeconds": None, "backlogPerReplica": 5}}}}
    exchanged = cluster.api.patch(f"{path}/emails", other)
    assert exchanged["spec"]["scaling"]["target"] == {"backlogPerReplica": 5}


def test_get_shows_the_columns(cluster: Cluster, namespace: str) -> None:
    path = namespaced(GROUP, "jobqueues", namespace)
    cluster.api.create(path, smallest(scaling={"minReplicas": 1, "maxReplicas": 9}))
    cluster.api.patch(f"{path}/emails/status", {"status": STATUS})
    header, row = cluster.kubectl("-n", namespace, "get", "jq").stdout.splitlines()
    assert header.split() == [
        *("NAME", "READY", "SUSPENDED", "MIN", "MAX", "REPLICAS", "BACKLOG", "OLDEST", "AGE")
    ]
    assert row.split()[:-1] == ["emails", "True", "False", "1", "9", "3", "40", "17"]
    assert "emails" in cluster.kubectl("-n", namespace, "get", "jobqueue").stdout


def test_the_resource_is_found_by_its_category(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(namespaced(GROUP, "jobqueues", namespace), smallest())
    by_category = cluster.kubectl("-n", namespace, "get", "jobqueue,jobqueues.jobqueue.dev", "-o", "name")
    assert by_category.stdout.split()[0] == "jobqueue.jobqueue.dev/emails"
    resources = cluster.kubectl("api-resources", "--categories=jobqueue", "-o", "name")
    assert resources.stdout.split() == ["jobqueues.jobqueue.dev"]


def test_scale_sets_the_floor(cluster: Cluster, namespace: str) -> None:
    path = namespaced(GROUP, "jobqueues", namespace)
    cluster.api.create(path, smallest())
    cluster.kubectl("-n", namespace, "scale", "jq/emails", "--replicas=3")
    assert cluster.api.get(f"{path}/emails")["spec"]["scaling"]["minReplicas"] == 3
    cluster.api.patch(f"{path}/emails/status", {"status": STATUS})
    scale = cluster.api.get(f"{path}/emails/scale")
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 3, "selector": "app=worker"}
    refused = cluster.kubectl("-n", namespace, "scale", "jq/emails", "--replicas=21", check=False)
    assert "must be at most maxReplicas" in refused.stderr


def test_explain_describes_every_section(cluster: Cluster) -> None:
    sections = ("queue", "processor", "retry", "worker", "worker.template", "scaling", "scaling.schedules")
    for field in (*sections, "schedules"):
        explained = cluster.kubectl("explain", f"jobqueue.spec.{field}").stdout
        assert "DESCRIPTION:" in explained
        assert "<empty>" not in explained
        assert "<no description>" not in explained
    suspend = cluster.kubectl("explain", "jq.spec.suspend").stdout
    assert "HoldAndDrain" in suspend
    assert "ENUM:" in suspend


def test_status_and_spec_are_written_apart(cluster: Cluster, namespace: str) -> None:
    path = namespaced(GROUP, "jobqueues", namespace)
    created = cluster.api.create(path, {**smallest(), "status": STATUS})
    assert "status" not in created
    both = {"spec": {"suspend": "Hold"}, "status": STATUS}
    by_status = cluster.api.patch(f"{path}/emails/status", both)
    assert by_status["spec"] == created["spec"]
    assert by_status["metadata"]["generation"] == 1
    assert by_status["status"]["replicas"] == 3
    by_spec = cluster.api.patch(f"{path}/emails", {**both, "status": {"replicas": 8}})
    assert by_spec["spec"]["suspend"] == "Hold"
    assert by_spec["metadata"]["generation"] == 2
    assert by_spec["status"] == by_status["status"]


def test_conditions_can_be_waited_for(cluster: Cluster, namespace: str) -> None:
    path = namespaced(GROUP, "jobqueues", namespace)
    cluster.api.create(path, smallest())
    cluster.api.patch(f"{path}/emails/status", {"status": STATUS})
    waited = cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "jq/emails", "--timeout=5s")
    assert "condition met" in waited.stdout
