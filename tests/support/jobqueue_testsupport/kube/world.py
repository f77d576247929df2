"""One namespace with its JobQueues, Deployments, queues and workers, as a test makes and sees them."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jobqueue_core.ports.clock import SystemClock
from jobqueue_testsupport.factories import IDLE_BEAT
from jobqueue_testsupport.kube import manifests
from jobqueue_testsupport.kube.api import GROUP, KubeRefusedError, Object, namespaced
from jobqueue_testsupport.kube.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_core.ports.store import JobStore
    from jobqueue_testsupport.kube.cluster import Cluster
    from jobqueue_testsupport.kube.sqs import Sqs

_PREFIXES = {
    "jobqueues": GROUP,
    "deployments": "/apis/apps/v1",
    "leases": "/apis/coordination.k8s.io/v1",
}
_BEAT_SECONDS = 0.5
_BEAT_TTL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class World:
    """What a test of the operator looks at and changes.

    Attributes:
        cluster: The API server.
        namespace: The test's own.
        sqs: The queues.
        store: The jobs and heartbeats that the operator reads.
    """

    cluster: Cluster
    namespace: str
    sqs: Sqs
    store: JobStore

    def path(self, plural: str, name: str = "") -> str:
        """Return the path of an object, or of a collection, of the namespace."""
        collection = namespaced(_PREFIXES.get(plural, "/api/v1"), plural, self.namespace)
        return f"{collection}/{name}" if name else collection

    def jobqueue(self, name: str, target: str | None = None, **spec: object) -> Object:
        """Create a JobQueue; see `manifests.jobqueue`."""
        return self.cluster.api.create(self.path("jobqueues"), manifests.jobqueue(name, target, **spec))

    def deployment(self, name: str, replicas: int = 0) -> Object:
        """Create a Deployment."""
        return self.cluster.api.create(self.path("deployments"), manifests.deployment(name, replicas))

    def pods(self, of: str, *names: str) -> None:
        """Create running pods of a Deployment, as a node would report them."""
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        for name in names:
            self.cluster.api.create(self.path("pods"), manifests.pod(name, of))
            self.cluster.api.patch(f"{self.path('pods', name)}/status", {"status": ready})

    def seen(self, name: str) -> Object:
        """Return a JobQueue as it is stored."""
        return self.cluster.api.get(self.path("jobqueues", name))

    def change(self, name: str, **spec: object) -> None:
        """Merge into the spec of a JobQueue."""
        self.cluster.api.patch(self.path("jobqueues", name), {"spec": spec})

    def annotate(self, name: str, annotation: str, value: str) -> None:
        """Annotate a JobQueue."""
        change = {"metadata": {"annotations": {annotation: value}}}
        self.cluster.api.patch(self.path("jobqueues", name), change)

    def delete(self, name: str) -> None:
        """Ask for the deletion of a JobQueue."""
        self.cluster.api.delete(self.path("jobqueues", name))

    def exists(self, plural: str, name: str) -> bool:
        """Whether there is such an object."""
        return self.cluster.api.find(self.path(plural, name)) is not None

    def replicas(self, deployment: str) -> int:
        """Return how many replicas a Deployment asks for."""
        return int(self.cluster.api.get(self.path("deployments", deployment))["spec"]["replicas"])

    def condition(self, name: str, kind: str) -> Object:
        """Return a condition of a JobQueue; fail when it has none of that type."""
        conditions = self.seen(name).get("status", {}).get("conditions", [])
        found = {condition["type"]: condition for condition in conditions}
        assert kind in found, f"{name} has no condition {kind}: {sorted(found)}"
        return dict(found[kind])

    def expect(self, name: str, kind: str, status: str, reason: str | None = None) -> Object:
        """Return a condition of a JobQueue; fail when it is another, or about an older spec."""
        condition = self.condition(name, kind)
        told = f"{name}: {condition}"
        assert condition["status"] == status, told
        assert reason in {None, condition["reason"]}, told
        assert condition["observedGeneration"] == self.seen(name)["metadata"]["generation"], told
        return condition

    async def ready(self, name: str, within: float = 10.0) -> None:
        """Wait until a JobQueue is looked after and nothing is wrong with it."""
        await eventually(lambda: self.expect(name, "Ready", "True", "Reconciled"), within)

    async def scaled(self, deployment: str, replicas: int, within: float = 10.0) -> None:
        """Wait until a Deployment asks for so many replicas."""

        def check() -> None:
            assert self.replicas(deployment) == replicas

        await eventually(check, within)

    def told(self, name: str, reason: str) -> list[Object]:
        """Return the Events of that reason about a JobQueue; fail where there are none."""
        events = self.events(name, reason)
        assert events, f"no Event {reason}: {[event['reason'] for event in self.events(name)]}"
        return events

    def events(self, name: str, reason: str | None = None) -> list[Object]:
        """Return the Events about a JobQueue, the oldest first."""
        found = self.cluster.api.list(
            self.path("events"), fieldSelector=f"involvedObject.kind=JobQueue,involvedObject.name={name}"
        )
        found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [event for event in found if reason in {None, event["reason"]}]

    def versions(self) -> dict[str, Any]:
        """Return the `resourceVersion` of everything that the operator could write, except for its Lease."""
        return {
            f"{plural}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for plural in ("jobqueues", "deployments", "configmaps", "events", "pods")
            for item in self.cluster.api.list(self.path(plural))
        }

    def clear(self) -> None:
        """Delete every JobQueue, whatever its finalizers say, so that nobody looks after them any more."""
        for item in self.cluster.api.list(self.path("jobqueues")):
            path = self.path("jobqueues", item["metadata"]["name"])
            with contextlib.suppress(KubeRefusedError):  # it is gone already
                self.cluster.api.patch(path, {"metadata": {"finalizers": None}})
                self.cluster.api.delete(path)

    @asynccontextmanager
    async def busy(self, queue: str, *workers: str) -> AsyncIterator[None]:
        """Have workers say, twice a second, that they have a job in hand; afterwards they say it no more."""
        started = SystemClock().now()

        async def beat() -> None:
            now = SystemClock().now()
            for worker in workers:
                word = replace(IDLE_BEAT, worker=worker, queue=queue, busy=1, started_at=started, seen_at=now)
                await self.store.beat(word, _BEAT_TTL_SECONDS)

        async def go_on() -> None:
            while True:
                await asyncio.sleep(_BEAT_SECONDS)
                await beat()

        await beat()
        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for worker in workers:
                await self.store.leave(worker)


def create_namespace(cluster: Cluster, name: str) -> None:
    """Create a namespace; it may be there."""
    try:
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    except KubeRefusedError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
