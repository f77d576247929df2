"""What is given to the cluster: the values of the chart, and objects beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from jobqueue_testsupport.kube_e2e.neighbours import Neighbours

Manifest = dict[str, "Any"]

REGISTRY = "localhost"
TAG = "dev"
API_IMAGE = f"{REGISTRY}/jobqueue-api:{TAG}"
API_SERVICE = "jobqueue-api"
API_PORT = 80
API_URL = f"http://{API_SERVICE}:{API_PORT}"
CHART_WORKER = "jobqueue-worker"
JOBQUEUE = "jobs"
BACKENDS = "jobqueue-backends"
_REGION = "us-east-1"
# Short, because a worker that is told to end waits for its last receive.
_RECEIVE_SECONDS = 2


def restricted_pod(name: str, image: str, command: list[str]) -> Manifest:
    """Return a pod that runs once, as the restricted pod security standard wants it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": name,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 -- in the pod
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def backend_secret(beside: Neighbours) -> Manifest:
    """Return the Secret that the chart's values refer to.

    Its keys are environment variables: workers made from a template read it whole.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": BACKENDS},
        "stringData": {
            "JOBQUEUE_MONGODB__URI": beside.mongodb_uri,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        },
    }


def chart_values(beside: Neighbours, log_level: str = "info") -> Manifest:
    """Return the chart's values: the images that were built, the servers beside, and short waits."""
    return {
        "image": {"registry": REGISTRY, "tag": TAG},
        "config": {
            "mongodb": {"guard_index": True},  # for the embedded server
            "sqs": {"receive_wait_seconds": _RECEIVE_SECONDS},
            "worker": {"heartbeat_seconds": 1},
            "logging": {"level": log_level},
        },
        "mongodb": {"existingSecret": BACKENDS, "key": "JOBQUEUE_MONGODB__URI"},
        "aws": {"region": _REGION, "endpointUrl": beside.sqs_endpoint, "existingSecret": BACKENDS},
        "worker": {"jobQueue": JOBQUEUE},
        "operator": {"template": {"secrets": [BACKENDS]}},
    }


def jobqueue(name: str, beside: Neighbours, worker: Manifest, **scaling: object) -> Manifest:
    """Return a JobQueue that does not wait long for anything.

    Args:
        name: Of the JobQueue and of its queue.
        beside: Where the external service is.
        worker: The section `worker`: a target or a template.
        scaling: What is otherwise in the section `scaling`.
    """
    return {
        "apiVersion": "jobqueue.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {"name": name},
        "spec": {
            "queue": {"name": name, "provision": True},
            "processor": {"url": beside.processor_url},
            "worker": {"concurrency": 5, **worker},
            "scaling": {
                "maxReplicas": 4,
                "target": {"backlogPerReplica": 20},
                "pollSeconds": 1,
                "scaleDown": {"stabilizationSeconds": 5},
                "zeroAfterSeconds": 5,
                **scaling,
            },
        },
    }
