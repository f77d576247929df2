"""What the operator makes for a JobQueue: settings of workers, from a template their Deployment. Pure."""

from __future__ import annotations

import hashlib
import json
from math import ceil
from typing import TYPE_CHECKING, Any

from jobqueue_core.settings.queue import DRAIN_SLACK_SECONDS
from jobqueue_operator.resource.names import GROUP, KIND, MANAGED_BY, MANAGED_BY_LABEL, NAME_LABEL, VERSION
from jobqueue_operator.targets.deployment import TEMPLATE_HASH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.settings.operator_section import TemplateSettings
    from jobqueue_operator.resource.jobqueue import JobQueue
    from jobqueue_operator.resource.spec import JobQueueSpec
    from jobqueue_operator.resource.spec_processor import ProcessorSpec

Manifest = dict[str, Any]

METRICS_PORT = 9100
_CONTAINER = "worker"
_USER = 10001
# Between the end of a worker's own drain time and SIGKILL it hands back what it has not finished.
_HAND_BACK_SECONDS = 10
# Where the spec leaves the service to the workers' own settings: their default.
_TIMEOUT_SECONDS = 30.0
# SQS: longest long poll. What a receive brings that is cut off stays hidden until its time-out.
_RECEIVE_SECONDS = 20.0


def owner_reference(resource: JobQueue) -> Manifest:
    """Return what ties an object to its JobQueue: it goes when the JobQueue goes."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": resource.name,
        "uid": resource.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def settings_name(resource: JobQueue) -> str:
    """Return the name of the ConfigMap with the workers' settings."""
    return f"{resource.name}-settings"


def deployment_name(resource: JobQueue) -> str:
    """Return the name of the workers' Deployment: the one that is named, or the one that is made."""
    reference = resource.spec.worker.scale_target_ref
    return f"{resource.name}-worker" if reference is None else reference.name


def worker_settings(resource: JobQueue, jobs: str) -> dict[str, str]:
    """Return the JobQueue's spec as the environment of its workers.

    Only what the spec really says is given: the rest is left to the worker's own configuration.

    Args:
        resource: The JobQueue.
        jobs: Name by which jobs name the queue.
    """
    spec = resource.spec
    env = {
        "JOBQUEUE_DEFAULT_QUEUE": jobs,
        "JOBQUEUE_SQS__VISIBILITY_TIMEOUT_SECONDS": str(spec.queue.visibility_timeout_seconds),
        "JOBQUEUE_SQS__DEAD_LETTER__MAX_RECEIVE_COUNT": str(spec.queue.dead_letter.max_receive_count),
        "JOBQUEUE_SQS__DEAD_LETTER__QUEUE_NAME": spec.queue.dead_letter_name,
        "JOBQUEUE_WORKER__CONCURRENCY": str(spec.worker.concurrency),
        "JOBQUEUE_RETRY__MAX_ATTEMPTS": str(spec.retry.max_attempts),
        "JOBQUEUE_RETRY__BACKOFF__INITIAL_SECONDS": f"{spec.retry.backoff.initial_seconds:g}",
        "JOBQUEUE_RETRY__BACKOFF__MAX_SECONDS": f"{spec.retry.backoff.max_seconds:g}",
        "JOBQUEUE_RETRY__BACKOFF__FACTOR": f"{spec.retry.backoff.factor:g}",
    }
    if spec.queue.url is not None:
        env["JOBQUEUE_SQS__QUEUE_URL"] = spec.queue.url
    else:
        env["JOBQUEUE_SQS__QUEUE_NAME"] = spec.queue.sqs_name
    if spec.processor is not None:
        env["JOBQUEUE_PROCESSOR__URL"] = spec.processor.url
        env["JOBQUEUE_PROCESSOR__TIMEOUT_SECONDS"] = f"{spec.processor.timeout_seconds:g}"
        env |= _limits(spec.processor)
    return env


def _limits(processor: ProcessorSpec) -> dict[str, str]:
    """Return what the service may be asked for, as the environment of workers."""
    limit, breaker = processor.rate_limit, processor.circuit_breaker
    found: dict[str, float | None] = {}
    if limit is not None:
        found["RATE_LIMIT__PER_SECOND"] = limit.per_second
        found["RATE_LIMIT__CONCURRENT"] = limit.concurrent
    if breaker is not None:
        found["CIRCUIT_BREAKER__WINDOW_SECONDS"] = breaker.window_seconds
        found["CIRCUIT_BREAKER__MINIMUM_CALLS"] = breaker.minimum_calls
        found["CIRCUIT_BREAKER__FAILURE_RATIO"] = breaker.failure_ratio
        found["CIRCUIT_BREAKER__OPEN_SECONDS"] = breaker.open_seconds
    env = {
        f"JOBQUEUE_PROCESSOR__{name}": f"{value:.15g}" for name, value in found.items() if value is not None
    }
    if breaker is not None:
        env["JOBQUEUE_PROCESSOR__CIRCUIT_BREAKER__ENABLED"] = str(breaker.enabled).lower()
    return env


def settings_map(resource: JobQueue, jobs: str) -> Manifest:
    """Return the ConfigMap that workers read by `envFrom`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**_metadata(resource, settings_name(resource))},
        "data": worker_settings(resource, jobs),
    }


def worker_deployment(resource: JobQueue, jobs: str, defaults: TemplateSettings) -> Manifest:
    """Return the Deployment of a JobQueue with a template, without a number of replicas.

    Args:
        resource: A JobQueue with `worker.template`.
        jobs: Name by which jobs name the queue.
        defaults: What the template may leave out.

    Raises:
        ValueError: It has no template, or neither template nor defaults name an image.
    """
    template = resource.spec.worker.template
    if template is None:
        raise ValueError(f"{resource.name} has no template")
    image = template.image or defaults.image
    if image is None:
        raise ValueError("spec.worker.template.image: must be set, the operator has no image of its own")
    own = {NAME_LABEL: resource.name, "app.kubernetes.io/component": "worker"}
    pod = {
        "metadata": {
            "labels": {**template.labels, **own},
            "annotations": {
                **template.annotations,
                # New settings reach the workers by new pods.
                "jobqueue.dev/settings-hash": _hash(worker_settings(resource, jobs)),
            },
        },
        "spec": _pod_spec(resource.spec, image, defaults, resource),
    }
    pod_hash = _hash(pod)
    metadata = _metadata(resource, deployment_name(resource))
    metadata["annotations"] = {TEMPLATE_HASH: pod_hash}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": own},
            # A new version must not add workers beside a full set, nor take one that works away early.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": pod,
        },
    }


def _metadata(resource: JobQueue, name: str) -> Manifest:
    return {
        "name": name,
        "namespace": resource.namespace,
        "labels": {NAME_LABEL: resource.name, MANAGED_BY_LABEL: MANAGED_BY},
        "ownerReferences": [owner_reference(resource)],
    }


def _drain_and_grace(spec: JobQueueSpec) -> tuple[int, int]:
    """Return how long a worker lets run what it has begun, and when it is killed, in seconds from SIGTERM.

    A call that has begun may end, and so may a receive; where the spec wants an earlier end, the worker
    still has its time to hand back what it has not finished.
    """
    template = spec.worker.template
    wanted = None if template is None else template.termination_grace_period_seconds
    timeout = _TIMEOUT_SECONDS if spec.processor is None else spec.processor.timeout_seconds
    drain = ceil(max(timeout, _RECEIVE_SECONDS) + DRAIN_SLACK_SECONDS)
    if wanted is None:
        return drain, drain + _HAND_BACK_SECONDS
    return max(0, min(drain, wanted - _HAND_BACK_SECONDS)), wanted


def _pod_spec(spec: JobQueueSpec, image: str, defaults: TemplateSettings, resource: JobQueue) -> Manifest:
    template = spec.worker.template
    assert template is not None  # noqa: S101 -- checked by the caller
    drain, grace = _drain_and_grace(spec)
    pod: Manifest = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": grace,
        "containers": [_container(spec, image, defaults, resource, drain)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    account = template.service_account_name or defaults.service_account
    optional = {
        "serviceAccountName": account,
        "imagePullSecrets": [{"name": secret.name} for secret in template.image_pull_secrets],
        "nodeSelector": dict(template.node_selector),
        "tolerations": list(template.tolerations),
        "affinity": template.affinity,
    }
    return pod | {key: value for key, value in optional.items() if value}


def _container(
    spec: JobQueueSpec, image: str, defaults: TemplateSettings, resource: JobQueue, drain: int
) -> Manifest:
    template = spec.worker.template
    assert template is not None  # noqa: S101 -- checked by the caller
    headers, header_env = _headers(spec)
    env: list[Mapping[str, Any]] = [
        {"name": "JOBQUEUE_WORKER__ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "JOBQUEUE_WORKER__DRAIN_SECONDS", "value": str(drain)},
        *headers,
        *header_env,
        *template.env,
    ]
    sources: list[Mapping[str, Any]] = [
        *({"configMapRef": {"name": name}} for name in defaults.config_maps),
        *({"secretRef": {"name": name}} for name in defaults.secrets),
        *template.env_from,
        {"configMapRef": {"name": settings_name(resource)}},
    ]
    container: Manifest = {
        "name": _CONTAINER,
        "image": image,
        "env": env,
        "envFrom": sources,
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "metrics"},
            "periodSeconds": 10,
            "failureThreshold": 3,
            "timeoutSeconds": 5,
        },
        "startupProbe": {
            "httpGet": {"path": "/healthz", "port": "metrics"},
            "periodSeconds": 1,
            "failureThreshold": 60,
            "timeoutSeconds": 5,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 -- inside the pod
    }
    if template.image_pull_policy is not None:
        container["imagePullPolicy"] = template.image_pull_policy
    if template.resources:
        container["resources"] = template.resources
    return container


def _headers(spec: JobQueueSpec) -> tuple[list[Manifest], list[Manifest]]:
    """Return the setting that names the headers, and the variables with their values, by reference."""
    if spec.processor is None or not spec.processor.headers_from:
        return [], []
    named, variables = [], []
    for position, header in enumerate(spec.processor.headers_from):
        variable = f"PROCESSOR_HEADER_{position}"
        named.append({"name": header.name, "env": variable})
        reference = {"name": header.secret_key_ref.name, "key": header.secret_key_ref.key}
        variables.append({"name": variable, "valueFrom": {"secretKeyRef": reference}})
    return [{"name": "JOBQUEUE_PROCESSOR__HEADERS_FROM", "value": json.dumps(named)}], variables


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
