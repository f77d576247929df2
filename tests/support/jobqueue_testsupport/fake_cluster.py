"""A cluster of JobQueues in memory, as the API sees it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jobqueue_core.domain.times import rfc3339
from jobqueue_core.ports.cluster import Changed, Gone, Listed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from jobqueue_api.wake import JobQueueRef
    from jobqueue_core.ports.cluster import Sight

NAMESPACE = "team"
Object = dict[str, Any]


def jobqueue(
    name: str,
    *,
    namespace: str = NAMESPACE,
    created: str = "2026-01-01T10:00:00Z",
    uid: str | None = None,
    queue: Object | None = None,
    **spec: object,
) -> Object:
    """Return a JobQueue as the API server shows it; its queue in SQS has its own name."""
    return {
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": uid or f"uid-{namespace}-{name}",
            "creationTimestamp": created,
            "generation": 1,
            "resourceVersion": "1",
        },
        "spec": {"queue": queue or {"name": name}, **spec},
    }


class FakeCluster:
    """Implements what the API needs of a cluster.

    Attributes:
        namespaces: those that the API looks at.
        reachable: unset: nothing can be read yet.
        wakes: JobQueue and time (seconds and milliseconds of RFC 3339) of each wake written.
        error: raised by every wake.
        hold: unset: wakes wait.

    """

    def __init__(self, *jobqueues: Object, namespaces: tuple[str, ...] = (NAMESPACE,)) -> None:
        self.namespaces = namespaces
        self.reachable = asyncio.Event()
        self.reachable.set()
        self.wakes: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self._objects = {_key(each): each for each in jobqueues}
        self._streams: dict[str, asyncio.Queue[Sight]] = {}

    async def jobqueues(self, namespace: str) -> AsyncGenerator[Sight, None]:
        """Give what there is, then each change."""
        await self.reachable.wait()
        stream = self._streams[namespace] = asyncio.Queue()
        yield self._listed(namespace)
        while True:
            yield await stream.get()

    async def wake(self, jobqueue: JobQueueRef, at: datetime) -> None:
        """Note a wake."""
        await self.hold.wait()
        if self.error is not None:
            raise self.error
        self.wakes.append((str(jobqueue), rfc3339(at).partition("T")[2]))

    def put(self, *objects: Object) -> None:
        """Create or change JobQueues."""
        for each in objects:
            before = self._objects.get(_key(each))
            if before is not None and before["metadata"]["uid"] == each["metadata"]["uid"]:
                each["metadata"]["generation"] = before["metadata"]["generation"] + 1
            self._objects[_key(each)] = each
            self._tell(each["metadata"]["namespace"], Changed(each))

    def touch(self, name: str, **status: object) -> None:
        """Change nothing but the status of a JobQueue."""
        each = self._objects[NAMESPACE, name] = {**self._objects[NAMESPACE, name], "status": status}
        self._tell(NAMESPACE, Changed(each))

    def delete(self, name: str, namespace: str = NAMESPACE) -> None:
        """Delete a JobQueue."""
        self._tell(namespace, Gone(self._objects.pop((namespace, name))))

    def lose(self, name: str) -> None:
        """Delete a JobQueue without a word; only the next listing tells."""
        del self._objects[NAMESPACE, name]

    def list_again(self) -> None:
        """List anew, as after an outage."""
        for namespace in self._streams:
            self._tell(namespace, self._listed(namespace))

    def _tell(self, namespace: str, sight: Sight) -> None:
        if namespace in self._streams:
            self._streams[namespace].put_nowait(sight)

    def _listed(self, namespace: str) -> Listed:
        return Listed(tuple(each for key, each in self._objects.items() if key[0] == namespace))


def _key(content: Object) -> tuple[str, str]:
    return (content["metadata"]["namespace"], content["metadata"]["name"])
