"""The cluster through its API server. Imported only where the settings ask for it.

The client of Kubernetes costs 0.7 s and 49 MB at import.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobqueue_api.cluster.jobqueue import GROUP, PLURAL, VERSION, WAKE
from jobqueue_core.adapters.kube.client import KubeClient, own_namespace
from jobqueue_core.adapters.kube.watch import KubeWatch
from jobqueue_core.domain.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from datetime import datetime

    from jobqueue_api.wake import JobQueueRef
    from jobqueue_core.adapters.kube.client import KubeObserver
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.cluster import Sight

# Wakes of that many queues at once.
_CONNECTIONS = 8


class KubernetesCluster:
    """Implements the ports `JobQueueSource` and `WakeWriter`."""

    def __init__(self, client: KubeClient, clock: Clock, namespaces: Sequence[str]) -> None:
        """Use an open client; without namespaces: that of this pod."""
        self._client = client
        self._clock = clock
        self.namespaces = tuple(namespaces) or (own_namespace(),)

    def jobqueues(self, namespace: str) -> AsyncGenerator[Sight, None]:
        """Give all JobQueues of a namespace, then each change, for ever."""
        return KubeWatch(self._client, _collection(namespace), self._clock).sights()

    async def wake(self, jobqueue: JobQueueRef, at: datetime) -> None:
        """Write the annotation that the operator acts on.

        Raises:
            KubeError: it could not be written.

        """
        change = {"metadata": {"annotations": {WAKE: rfc3339(at)}}}
        await self._client.patch(f"{_collection(jobqueue.namespace)}/{jobqueue.name}", change)


@contextmanager
def opened_cluster(
    observer: KubeObserver, clock: Clock, namespaces: Sequence[str]
) -> Iterator[KubernetesCluster]:
    """Give the cluster that this process is configured for; no request is made yet.

    Raises:
        KubeError: no cluster is configured.

    """
    client = KubeClient(observer, max_connections=_CONNECTIONS)
    try:
        yield KubernetesCluster(client, clock, namespaces)
    finally:
        client.close()


def _collection(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
