"""A Deployment as the target: its `scale` subresource, and which of its pods go first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_operator.cluster import paths

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jobqueue_core.adapters.kube.client import KubeClient, Object

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""Pods with the lower cost go first (Kubernetes, ReplicaSet; pods without it cost 0)."""
IDLE_COST = "-100"


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """What is known of a Deployment, from the watch; small, as there may be thousands.

    Attributes:
        version: Its `resourceVersion`, which grows with every write.
        selector: Label selector of its pods, as a query.
        owner: UID of the controller that owns it; None when nobody does.
        template_hash: Annotation of the operator that made it.
    """

    namespace: str
    name: str
    uid: str
    version: int
    replicas: int
    ready: int
    selector: str
    owner: str | None = None
    template_hash: str | None = None


def view_of(body: Mapping[str, Any]) -> DeploymentView:
    """Return what matters of a Deployment."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    owner = next(
        (owner["uid"] for owner in metadata.get("ownerReferences") or () if owner.get("controller")), None
    )
    replicas = spec.get("replicas")
    return DeploymentView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        replicas=1 if replicas is None else int(replicas),
        ready=int(status.get("readyReplicas") or 0),
        selector=selector_query(spec.get("selector") or {}),
        owner=owner,
        template_hash=(metadata.get("annotations") or {}).get(TEMPLATE_HASH),
    )


TEMPLATE_HASH = "jobqueue.dev/template-hash"


def selector_query(selector: Mapping[str, Any]) -> str:
    """Return a LabelSelector as a query of the API."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression["key"], expression["operator"]
        values = ",".join(expression.get("values") or ())
        parts.append(
            {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}.get(
                operator, f"!{key}"
            )
        )
    return ",".join(parts)


def worker_pod(worker: str, pods: Collection[str]) -> str | None:
    """Return the pod that a worker runs in: its id is the pod's name, or that and a process number."""
    if worker in pods:
        return worker
    pod, _, process = worker.rpartition("-")
    return pod if process.isdigit() and pod in pods else None


def first_to_go(pods: Iterable[Mapping[str, Any]], busy: Collection[str], surplus: int) -> list[str]:
    """Return the idle pods that are to get the lower cost: those that are not ready first, then the youngest.

    Args:
        pods: The Deployment's pods.
        busy: Names of pods with a job in hand.
        surplus: How many pods will be taken away.
    """
    idle = [pod for pod in pods if pod["metadata"]["name"] not in busy and _alive(pod)]
    idle.sort(key=lambda pod: (not _ready(pod), pod["metadata"]["creationTimestamp"]), reverse=True)
    return [pod["metadata"]["name"] for pod in idle[:surplus]]


def _alive(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") not in {
        "Succeeded",
        "Failed",
    }


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


class DeploymentScaler:
    """Writes the number of replicas."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def scale(self, view: DeploymentView, to: int, busy_workers: Collection[str]) -> Object:
        """Write the number, in one write; before a write down, mark the idle pods.

        Returns:
            The `Scale` that was written.

        Raises:
            KubeError: It could not be written.
        """
        if 0 < to < view.replicas:
            await self._mark(view, view.replicas - to, busy_workers)
        path = f"{paths.deployments(view.namespace)}/{view.name}/scale"
        return await self._kube.patch(path, {"spec": {"replicas": to}})

    async def _mark(self, view: DeploymentView, surplus: int, busy_workers: Collection[str]) -> None:
        found = await self._kube.list(paths.pods(view.namespace), labelSelector=view.selector)
        pods = {pod["metadata"]["name"]: pod for pod in found}
        busy = {pod for worker in busy_workers if (pod := worker_pod(worker, pods)) is not None}
        going = set(first_to_go(found, busy, surplus))
        changes = {name: IDLE_COST for name in going if _cost(pods[name]) != IDLE_COST}
        # One that was to go before and works now is to stay.
        changes |= {name: None for name, pod in pods.items() if name not in going and _cost(pod) == IDLE_COST}
        await asyncio.gather(*(self._annotate(view.namespace, name, cost) for name, cost in changes.items()))

    async def _annotate(self, namespace: str, name: str, cost: str | None) -> None:
        try:
            change = {"metadata": {"annotations": {DELETION_COST: cost}}}
            await self._kube.patch(f"{paths.pods(namespace)}/{name}", change)
        except KubeError as error:
            if not error.not_found:  # it has gone by itself
                raise


def _cost(pod: Mapping[str, Any]) -> str | None:
    return (pod["metadata"].get("annotations") or {}).get(DELETION_COST)
