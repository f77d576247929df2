"""Objects that tests create."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

API_VERSION = "jobqueue.dev/v1alpha1"
# Nothing pulls it: there are no nodes.
IMAGE = "registry.invalid/jobqueue-worker:none"


def jobqueue(name: str, target: str | None = None, **spec: object) -> dict[str, Any]:
    """Return a JobQueue that reacts at once: a poll each second, a job a replica, no wait when it shrinks.

    Args:
        name: Of the JobQueue, and of its queue in SQS.
        target: Deployment that it scales; None: one of its own name.
        spec: What is merged into the spec; None takes a field away.
    """
    base = {
        "queue": {"name": name, "provision": True},
        "worker": {"scaleTargetRef": {"name": target or name}, "concurrency": 1},
        "scaling": {
            "minReplicas": 0,
            "maxReplicas": 100,
            "target": {"backlogPerReplica": 1},
            "pollSeconds": 1,
            "scaleDown": {"stabilizationSeconds": 0},
            "zeroAfterSeconds": 0,
        },
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "JobQueue",
        "metadata": {"name": name},
        "spec": merged(base, spec),
    }


def deployment(name: str, replicas: int = 0) -> dict[str, Any]:
    """Return a Deployment of workers."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "worker", "image": IMAGE}]},
            },
        },
    }


def pod(name: str, of: str) -> dict[str, Any]:
    """Return a pod that the selector of the Deployment `of` finds."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": of}},
        "spec": {"containers": [{"name": "worker", "image": IMAGE}]},
    }


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a merge as of RFC 7396: mappings merge, None removes, all else replaces."""
    result = deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


def smallest(**spec: object) -> dict[str, Any]:
    """Return the JobQueue `emails` with the least that one must say, and changes merged into its spec."""
    least = {"queue": {"name": "emails"}, "worker": {"scaleTargetRef": {"name": "jobqueue-worker"}}}
    return {
        "apiVersion": API_VERSION,
        "kind": "JobQueue",
        "metadata": {"name": "emails"},
        "spec": merged(least, spec),
    }


def keeps(stored: Any, asked: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether everything that was asked for is stored as it was; defaults may stand beside it."""
    if isinstance(asked, dict):
        return all(
            key not in stored if value is None else keeps(stored[key], value) for key, value in asked.items()
        )
    if isinstance(asked, list):
        return len(stored) == len(asked) and all(map(keeps, stored, asked))
    return bool(stored == asked)
