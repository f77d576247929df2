"""Keeps what the operator makes for a JobQueue as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_operator.cluster import paths
from jobqueue_operator.cluster.conditions import Problem
from jobqueue_operator.cluster.workload import (
    deployment_name,
    settings_map,
    settings_name,
    worker_deployment,
)
from jobqueue_operator.targets.deployment import TEMPLATE_HASH

if TYPE_CHECKING:
    from jobqueue_core.adapters.kube.client import KubeClient
    from jobqueue_core.settings.operator_section import TemplateSettings
    from jobqueue_operator.resource.jobqueue import JobQueue
    from jobqueue_operator.targets.deployment import DeploymentView


def foreign_deployment(name: str) -> Problem:
    """Return what is wrong when a Deployment of the name to be made is somebody else's."""
    message = (
        f"the Deployment {name} exists and is not of this JobQueue: rename or delete it, "
        "or name it in spec.worker.scaleTargetRef"
    )
    return Problem("Conflict", message)


class Workloads:
    """Creates and updates ConfigMaps and Deployments; each call converges, and may be repeated."""

    def __init__(self, kube: KubeClient, defaults: TemplateSettings) -> None:
        self._kube = kube
        self._defaults = defaults

    async def settings(self, resource: JobQueue, jobs: str) -> None:
        """Write the ConfigMap of the workers' settings.

        Raises:
            KubeError: It could not be written.
        """
        manifest = settings_map(resource, jobs)
        path = paths.config_maps(resource.namespace)
        try:
            await self._kube.create(path, manifest)
        except KubeError as error:
            if not error.conflict:
                raise
            stored = await self._kube.get(f"{path}/{settings_name(resource)}")
            if stored.get("data") != manifest["data"]:
                # Replaced as a whole: a merge would keep keys that the spec has no more.
                data: dict[str, Any] = dict.fromkeys(stored.get("data") or {}) | manifest["data"]
                await self._kube.patch(
                    f"{path}/{settings_name(resource)}", {"metadata": manifest["metadata"], "data": data}
                )

    async def deployment(
        self, resource: JobQueue, jobs: str, view: DeploymentView | None
    ) -> tuple[Problem | None, dict[str, Any] | None]:
        """Write the Deployment of a JobQueue with a template.

        Returns:
            What is in the way, and the Deployment where it was written.

        Raises:
            KubeError: It could not be written.
        """
        try:
            manifest = worker_deployment(resource, jobs, self._defaults)
        except ValueError as error:
            return Problem("InvalidSpec", str(error)), None
        path = paths.deployments(resource.namespace)
        if view is None:
            manifest["spec"]["replicas"] = resource.spec.scaling.min_replicas
            try:
                return None, await self._kube.create(path, manifest)
            except KubeError as error:
                if error.conflict:
                    return None, None  # the watch has yet to tell of it; the next round looks again
                raise
        name = deployment_name(resource)
        if view.owner != resource.uid:
            return foreign_deployment(name), None
        if view.template_hash == manifest["metadata"]["annotations"][TEMPLATE_HASH]:
            return None, None
        # A merge would keep what the template has no more, so the template is replaced as a whole.
        stored = await self._kube.get(f"{path}/{name}")
        stored["spec"]["template"] = manifest["spec"]["template"]
        stored["metadata"].setdefault("annotations", {}).update(manifest["metadata"]["annotations"])
        return None, await self._kube.replace(f"{path}/{name}", stored)
