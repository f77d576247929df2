"""Puts the operator together: the only place that knows every part."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_core.adapters.kube.client import KubeClient, own_namespace
from jobqueue_core.adapters.sqs.admin import SqsQueueAdmin
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.assembly import open_store
from jobqueue_core.ports.clock import SystemClock
from jobqueue_operator.cluster.controller import Tools
from jobqueue_operator.cluster.events import EventRecorder
from jobqueue_operator.cluster.fleet import Fleet
from jobqueue_operator.cluster.leader import Leadership
from jobqueue_operator.cluster.queues import QueueKeeper, queue_names
from jobqueue_operator.cluster.workloads import Workloads
from jobqueue_operator.observing.store_reader import StoreReader
from jobqueue_operator.targets.deployment import DeploymentScaler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_core.settings.model import Settings
    from jobqueue_operator.metrics import OperatorMetrics
    from jobqueue_operator.resource.jobqueue import JobQueue

# A round waits for the network most of the time; this many at once use one core, and more would only grow
# the time-outs of all when something is slow.
_ROUNDS_AT_ONCE = 64
_SQS_CONNECTIONS = 64
_KUBE_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Operator:
    """What the main function runs."""

    fleet: Fleet
    leadership: Leadership


@asynccontextmanager
async def opened(settings: Settings, metrics: OperatorMetrics) -> AsyncIterator[Operator]:
    """Give the operator on Kubernetes, SQS and MongoDB, as the settings say.

    Raises:
        KubeError: No cluster is configured.
    """
    clock, host = SystemClock(), socket.gethostname()
    kube = KubeClient(metrics, max_connections=_KUBE_CONNECTIONS)
    # The Lease has a connection of its own: many writes under way must not cost the leadership.
    lease_kube = KubeClient(metrics, max_connections=1)
    store = open_store(settings)
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
            admin, reader = SqsQueueAdmin(connection), StoreReader(store, clock)
            names = queue_names(settings)

            def keeper(_resource: JobQueue) -> QueueKeeper:
                return QueueKeeper(
                    admin=admin,
                    reader=reader,
                    kube=kube,
                    clock=clock,
                    names=names,
                    heartbeat_seconds=settings.worker.heartbeat_seconds,
                )

            fleet = Fleet(tools, keeper)
            try:
                yield Operator(fleet, leadership)
            finally:
                await fleet.close()
                await reader.close()
                await leadership.release()
    finally:
        await store.close()
        kube.close()
        lease_kube.close()
