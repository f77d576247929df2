"""Kubernetes Events about a JobQueue: what `kubectl describe` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import structlog

from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_operator.cluster import paths
from jobqueue_operator.cluster.status import rfc3339
from jobqueue_operator.resource.names import GROUP, KIND, VERSION

if TYPE_CHECKING:
    from datetime import datetime

    from jobqueue_core.adapters.kube.client import KubeClient
    from jobqueue_core.ports.clock import Clock
    from jobqueue_operator.resource.jobqueue import JobQueue

_log = structlog.get_logger(__name__)

COMPONENT = "jobqueue-operator"
EventType = Literal["Normal", "Warning"]
# Of the API: an Event's note has at most 1,024 bytes.
_MESSAGE_MAX = 1000


def event_of(
    resource: JobQueue, kind: EventType, reason: str, message: str, now: datetime, host: str
) -> dict[str, Any]:
    """Return the Event as the API knows it."""
    time = rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{resource.name[:50]}.", "namespace": resource.namespace},
        "type": kind,
        "reason": reason,
        "message": message[:_MESSAGE_MAX],
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": resource.namespace,
            "name": resource.name,
            "uid": resource.uid,
        },
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": host,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


class EventRecorder:
    """Writes Events; one that cannot be written is logged, nothing waits for it."""

    def __init__(self, kube: KubeClient, clock: Clock, host: str) -> None:
        self._kube = kube
        self._clock = clock
        self._host = host

    async def record(self, resource: JobQueue, kind: EventType, reason: str, message: str) -> None:
        """Write one Event about a JobQueue."""
        event = event_of(resource, kind, reason, message, self._clock.now(), self._host)
        try:
            await self._kube.create(paths.events(resource.namespace), event)
        except KubeError as error:
            _log.warning("event not written", reason=reason, error=str(error))
