"""Puts the operator together: the only place that knows every part."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from jobqueue_core.adapters.kube.client import KubeClient, KubeError, own_namespace
from jobqueue_core.adapters.sqs.admin import SqsQueueAdmin
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.assembly import flow_store, job_store, open_database
from jobqueue_core.ports.clock import SystemClock
from jobqueue_core.store_clock import StoreClock
from jobqueue_operator.cluster import paths
from jobqueue_operator.cluster.controller import Tools
from jobqueue_operator.cluster.events import EventRecorder
from jobqueue_operator.cluster.fleet import Fleet
from jobqueue_operator.cluster.leader import Leadership
from jobqueue_operator.cluster.owners import Owners
from jobqueue_operator.cluster.queues import QueueKeeper, queue_names
from jobqueue_operator.cluster.workloads import Workloads
from jobqueue_operator.observing.store_reader import StoreReader
from jobqueue_operator.targets.deployment import DeploymentScaler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_core.settings.model import Settings
    from jobqueue_operator.metrics import OperatorMetrics
    from jobqueue_operator.resource.jobqueue import JobQueue

_log = structlog.get_logger(__name__)

# A round waits for the network most of the time; this many at once use one core, and more would only grow
# the time-outs of all when something is slow.
_ROUNDS_AT_ONCE = 64
_SQS_CONNECTIONS = 64
_LIST_AGAIN_SECONDS = 1.0
_KUBE_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Operator:
    """What the main function runs."""

    fleet: Fleet
    leadership: Leadership
    kube: KubeClient
    namespaces: tuple[str, ...]

    async def expect_all(self) -> None:
        """Tell the fleet of all JobQueues there are; tried until they can be listed."""
        for namespace in self.namespaces or (None,):
            while True:
                try:
                    self.fleet.expect(await self.kube.list(paths.jobqueues(namespace)))
                    break
                except KubeError as error:
                    told = "; is the CRD installed?" if error.not_found else ""
                    _log.warning("the JobQueues cannot be listed yet", error=f"{error}{told}")
                    await asyncio.sleep(_LIST_AGAIN_SECONDS)


async def _cluster_id(kube: KubeClient) -> str | None:
    """Return what tells this cluster from others: by custom the UID of its oldest namespace."""
    try:
        return str((await kube.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"])
    except KubeError as error:
        _log.warning("the cluster's id cannot be read: no queue is taken over", error=str(error))
        return None


@asynccontextmanager
async def opened(settings: Settings, metrics: OperatorMetrics) -> AsyncIterator[Operator]:
    """Give the operator on Kubernetes, SQS and MongoDB, as the settings say.

    Raises:
        KubeError: No cluster is configured.
    """
    host = socket.gethostname()
    kube = KubeClient(metrics, max_connections=_KUBE_CONNECTIONS)
    # The Lease has a connection of its own: many writes under way must not cost the leadership.
    lease_kube = KubeClient(metrics, max_connections=1)
    database = open_database(settings)
    store = job_store(settings, database)
    clock = StoreClock(SystemClock(), store)
    following = asyncio.create_task(clock.follow())
    try:
        async with SqsConnection(metrics, max_connections=_SQS_CONNECTIONS) as connection:
            lease = settings.operator.lease
            leadership = Leadership(
                lease_kube,
                namespace=lease.namespace or own_namespace(),
                name=lease.name,
                identity=f"{os.environ.get('POD_NAME', host)}_{uuid.uuid4().hex[:8]}",
                duration_seconds=lease.duration_seconds,
                clock=clock,
            )
            tools = Tools(
                kube=kube,
                scaler=DeploymentScaler(kube),
                workloads=Workloads(kube, settings.operator.template),
                events=EventRecorder(kube, clock, host),
                metrics=metrics,
                clock=clock,
                may_act=lambda: leadership.held,
                rounds=asyncio.Semaphore(_ROUNDS_AT_ONCE),
            )
            admin, reader = SqsQueueAdmin(connection), StoreReader(store, flow_store(database), clock)
            names = queue_names(settings)

            def keeper(_resource: JobQueue) -> QueueKeeper:
                return QueueKeeper(
                    admin=admin,
                    reader=reader,
                    kube=kube,
                    clock=clock,
                    names=names,
                    owners=owners,
                    heartbeat_seconds=settings.worker.heartbeat_seconds,
                )

            fleet = Fleet(tools, keeper)
            namespaces = settings.operator.namespaces

            def exists(namespace: str, name: str) -> bool:
                return (namespaces != () and namespace not in namespaces) or fleet.exists(namespace, name)

            owners = Owners(await _cluster_id(kube), exists)
            try:
                yield Operator(fleet, leadership, kube, namespaces)
            finally:
                await fleet.close()
                await reader.close()
                await leadership.release()
    finally:
        following.cancel()
        await store.close()
        kube.close()
        lease_kube.close()
