"""The control plane beside database and queue, and how the operator is started on them."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cluster.kube import Kube, Object, asks_for_replicas, followed, is_observed, opened_kube
from bench.figures import BenchError
from bench.machine import cpu_seconds
from bench.processes import module, script
from bench.stack import HOST, Stack, free_port, opened_stack
from jobqueue_testsupport.kube import manifests
from jobqueue_testsupport.kube.binaries import NoControlPlaneError
from jobqueue_testsupport.kube.cluster import Cluster, open_cluster
from jobqueue_testsupport.server import ServerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from bench.cluster.kube import Sightings
    from bench.processes import Running
    from jobqueue_testsupport.kube.control_plane import ControlPlane

NAMESPACE = "bench"
OPERATOR_USER = f"system:serviceaccount:{NAMESPACE}:operator"
JOBQUEUES = f"/apis/jobqueue.dev/v1alpha1/namespaces/{NAMESPACE}/jobqueues"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SCALE = "deployments/scale"
_CRD = Path(__file__).parents[2] / "charts" / "jobqueue" / "files" / "jobqueues.jobqueue.dev.yaml"
_ROLE = "rbac.authorization.k8s.io"
_CREATIONS_AT_ONCE = 8
_CRD_SECONDS = 20


@dataclass(frozen=True, slots=True)
class World:
    """What a section looks at and changes.

    Attributes:
        stack: database, queue, and how the API is started.
        cluster: the API server, and an administrator's ways to it.
        plane: its processes.
        kube: an administrator's client.

    """

    stack: Stack
    cluster: Cluster
    plane: ControlPlane
    kube: Kube

    def env(self, account: str) -> dict[str, str]:
        """Return the environment of a process of the product with a ServiceAccount."""
        return {
            "KUBECONFIG": str(self.cluster.service_account(NAMESPACE, account)),
            "POD_NAMESPACE": NAMESPACE,
        }

    async def start_operator(self, **settings: str) -> tuple[Running, int]:
        """Start the operator; return it and the port of its metrics when it leads."""
        port = free_port()
        env = {
            **self.stack.env,
            **self.env("operator"),
            "JOBQUEUE_OPERATOR__METRICS_PORT": str(port),
            **settings,
        }

        async def is_ready() -> bool:
            return "leading" in (await self.stack.get(port, "/readyz") or "")

        command = [script("jobqueue-operator")]
        return await self.stack.processes.start("operator", command, env, is_ready), port

    async def start_api(self) -> tuple[Running, int]:
        """Start the API, which wakes the operator; return it and its port."""
        return await self.stack.start_api(
            **self.env("api"),
            JOBQUEUE_API__KUBERNETES__ENABLED="true",
            JOBQUEUE_API__KUBERNETES__NAMESPACES=json.dumps([NAMESPACE]),
        )

    async def start_sqs_server(self) -> tuple[Running, str]:
        """Start the queue server that does little more than count; return it and its URL."""
        port = free_port()
        server, url = "bench.cluster.sqs_server", f"http://{HOST}:{port}"

        async def is_ready() -> bool:
            return await self.stack.get(port, "/polls") is not None

        command = module(server, str(port))
        return await self.stack.processes.start("queues", command, self.stack.plain_env, is_ready), url

    async def create_targets(self, names: Iterable[str]) -> None:
        """Create Deployments of no replicas."""
        await self._create(DEPLOYMENTS, [manifests.deployment(name) for name in names])

    async def create_jobqueues(self, names: Iterable[str], **scaling: object) -> dict[str, float]:
        """Create JobQueues, each with the Deployment of its name as its target.

        Returns:
            The moment of `time.monotonic` before each was asked for.

        """
        return await self._create(JOBQUEUES, [manifests.jobqueue(name, scaling=scaling) for name in names])

    async def settle(self, names: Iterable[str], seconds: float, **scaling: object) -> dict[str, float]:
        """Create JobQueues and wait until each was observed.

        Returns:
            The seconds from before it was asked for until its status had a backlog.

        Raises:
            BenchError: one of them was not observed in time.

        """
        async with self.observed() as sightings:
            waits = {name: sightings.expect(name) for name in names}
            asked = await self.create_jobqueues(waits, **scaling)
            moments = await arrived(waits, seconds, "was not observed")
        return {name: moments[name] - asked[name] for name in waits}

    def observed(self) -> AbstractAsyncContextManager[Sightings]:
        """Give when JobQueues are first observed."""
        return followed(self.kube, JOBQUEUES, is_observed)

    def scaled(self) -> AbstractAsyncContextManager[Sightings]:
        """Give when Deployments come to ask for replicas."""
        return followed(self.kube, DEPLOYMENTS, asks_for_replicas)

    def cpu_seconds(self) -> float:
        """Return the CPU time of the API server so far.

        Raises:
            BenchError: it does not run.

        """
        pid = self.plane.apiserver.pid
        if pid is None:
            raise BenchError("the API server has ended")
        return cpu_seconds(pid)

    async def _create(self, path: str, objects: Iterable[Object]) -> dict[str, float]:
        gate, asked = asyncio.Semaphore(_CREATIONS_AT_ONCE), dict[str, float]()

        async def create(item: Object) -> None:
            async with gate:
                asked[item["metadata"]["name"]] = time.monotonic()
                await self.kube.create(path, item)

        await asyncio.gather(*(create(item) for item in objects))
        return asked


async def arrived(
    waits: Mapping[str, asyncio.Future[float]], seconds: float, otherwise: str
) -> dict[str, float]:
    """Wait for moments.

    Raises:
        BenchError: some did not come within so many seconds.

    """
    await asyncio.wait(waits.values(), timeout=seconds)
    missing = [name for name, wait in waits.items() if not wait.done()]
    if missing:
        raise BenchError(
            f"{len(missing)} of {len(waits)} ({missing[0]}, …): {otherwise} within {seconds:g} s"
        )
    return {name: wait.result() for name, wait in waits.items()}


@asynccontextmanager
async def opened_world() -> AsyncIterator[World]:
    """Give a fresh system with a control plane of its own; afterwards nothing of it is left.

    Raises:
        BenchError: there is no control plane to be had, or it is another's.

    """
    if not _CRD.exists():
        raise BenchError(f"there is no {_CRD}: generate it first")
    with tempfile.TemporaryDirectory(prefix="jobqueue-bench-kube-", ignore_cleanup_errors=True) as name:
        async with opened_stack() as stack:
            try:
                with open_cluster(Path(name)) as cluster:
                    if cluster.control_plane is None:
                        raise BenchError(
                            "requests are counted in the audit log of an API server of one's own"
                        )
                    _prepare(cluster)
                    async with opened_kube(cluster.kubeconfig) as kube:
                        yield World(stack, cluster, cluster.control_plane, kube)
            except (NoControlPlaneError, ServerError) as error:
                raise BenchError(str(error)) from error


def _prepare(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "-f", str(_CRD))
    deadline = time.monotonic() + _CRD_SECONDS
    # The resource is established some time before it can be read.
    while (asked := cluster.kubectl("get", "jobqueues", "--all-namespaces", check=False)).returncode != 0:
        if time.monotonic() > deadline:
            raise BenchError(f"the CRD was not taken: {asked.stderr}")
    subjects = [
        {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE} for account in ("operator", "api")
    ]
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": f"{_ROLE}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "bench"},
            "roleRef": {"apiGroup": _ROLE, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": subjects,
        },
    )
