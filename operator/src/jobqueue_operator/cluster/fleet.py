"""All controllers of one operator, and what they know of each other and of Deployments."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import structlog

from jobqueue_operator.cluster.conflicts import Claim, conflict_of
from jobqueue_operator.cluster.controller import Controller, Tools
from jobqueue_operator.cluster.refused import RefusedSpecs
from jobqueue_operator.cluster.workload import deployment_name
from jobqueue_operator.resource.jobqueue import InvalidJobQueueError, JobQueue, parse
from jobqueue_operator.targets.deployment import DeploymentView, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobqueue_operator.cluster.queues import QueueKeeper

_log = structlog.get_logger(__name__)

Key = tuple[str, str]
"""Namespace and name."""


class Fleet:
    """Starts a controller for each JobQueue, and ends it.

    Args:
        tools: What all controllers share.
        keeper: Makes the part of a controller that looks after the queue.
    """

    def __init__(self, tools: Tools, keeper: Callable[[JobQueue], QueueKeeper]) -> None:
        self._tools = tools
        self._keeper = keeper
        self._controllers: dict[Key, Controller] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._claims: dict[Key, Claim] = {}
        self._claimed: dict[str, set[Key]] = defaultdict(set)
        self._deployments: dict[Key, DeploymentView] = {}
        self._expected: set[Key] = set()
        self._refused = RefusedSpecs(tools)
        self._closed = False

    def jobqueue_seen(self, body: Mapping[str, Any]) -> None:
        """Take a JobQueue as it is now."""
        if self._closed:
            return
        key = _key(body)
        self._expected.discard(key)
        try:
            resource = parse(body)
        except InvalidJobQueueError as error:
            self._end(key)
            self._refused.tell(body, error.problems)
            return
        controller = self._controllers.get(key)
        if controller is not None and controller.resource.uid != resource.uid:
            self._end(key)
            controller = None
        self._claim(key, resource)
        if controller is not None:
            controller.update(resource)
            return
        controller = Controller(resource, self._keeper(resource), self._tools, self)
        self._controllers[key] = controller
        self._tasks[key] = asyncio.get_running_loop().create_task(controller.run(), name=f"{key[0]}/{key[1]}")

    def expect(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Take all JobQueues there are, before the watch tells of them one by one.

        Without that the younger of two, seen first, would act until the older one is seen.
        """
        for body in bodies:
            key = _key(body)
            try:
                self._claim(key, parse(body))
            except InvalidJobQueueError:
                continue  # the watch will tell of it
            self._expected.add(key)

    def settle(self) -> None:
        """Forget what was expected and has never been seen: it went in between."""
        for key in self._expected:
            self._release(key)
        self._expected.clear()

    def exists(self, namespace: str, name: str) -> bool:
        """Tell whether there is such a JobQueue."""
        return (namespace, name) in self._claims

    def jobqueue_gone(self, body: Mapping[str, Any]) -> None:
        """Take that a JobQueue does not exist any more."""
        self._end(_key(body))

    def deployment_seen(self, body: Mapping[str, Any]) -> None:
        """Take a Deployment as it is now; wake the JobQueue whose target it is if it matters."""
        view = view_of(body)
        before = self._deployments.get((view.namespace, view.name))
        self.learn(view)
        if before is None or (before.replicas, before.ready) != (view.replicas, view.ready):
            self._wake_target(view.namespace, view.name)

    def deployment_gone(self, body: Mapping[str, Any]) -> None:
        """Take that a Deployment does not exist any more."""
        key = _key(body)
        if self._deployments.pop(key, None) is not None:
            self._wake_target(*key)

    def conflict_of(self, resource: JobQueue) -> str | None:
        """Return why this JobQueue may not act; None when it may."""
        claim = _claim(resource)
        rivals = {key for owned in claim.keys for key in self._claimed.get(owned, ())}
        return conflict_of(claim, [self._claims[key] for key in rivals])

    def deployment(self, namespace: str, name: str) -> DeploymentView | None:
        """Return what is known of a Deployment."""
        return self._deployments.get((namespace, name))

    def learn(self, view: DeploymentView) -> None:
        """Take what was read or written, unless something newer is known of the same object."""
        key = (view.namespace, view.name)
        known = self._deployments.get(key)
        if known is None or known.uid != view.uid or known.version <= view.version:
            self._deployments[key] = view

    def stuck(self) -> str | None:
        """Name a controller that does not go on; None when all do."""
        for (namespace, name), controller in self._controllers.items():
            task = self._tasks[(namespace, name)]
            if task.done() or controller.stuck():
                return f"{namespace}/{name}"
        return None

    async def close(self) -> None:
        """End every controller; workers and queues stay as they are."""
        self._closed = True
        tasks = [*self._tasks.values(), *self._refused.tasks]
        for key in list(self._controllers):
            self._end(key)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _claim(self, key: Key, resource: JobQueue) -> None:
        claim = _claim(resource)
        if self._claims.get(key) != claim:
            self._release(key)
            self._claims[key] = claim
            for owned in claim.keys:
                self._claimed[owned].add(key)

    def _end(self, key: Key) -> None:
        controller = self._controllers.pop(key, None)
        self._release(key)
        if controller is None:
            return
        self._tasks.pop(key).cancel()
        controller.close()

    def _release(self, key: Key) -> None:
        """Give up what a JobQueue owned, and let those that waited for it look again."""
        claim = self._claims.pop(key, None)
        for owned in () if claim is None else claim.keys:
            self._claimed[owned].discard(key)
            for rival in self._claimed[owned]:
                if rival in self._controllers:
                    self._controllers[rival].wake()
            if not self._claimed[owned]:
                del self._claimed[owned]

    def _wake_target(self, namespace: str, name: str) -> None:
        for key in self._claimed.get(_target(namespace, name), ()):
            if key in self._controllers:
                self._controllers[key].wake()


def _claim(resource: JobQueue) -> Claim:
    keys = (
        f"queue {resource.spec.queue.queue_identity}",
        _target(resource.namespace, deployment_name(resource)),
    )
    return Claim((resource.namespace, resource.name), resource.created_at, resource.uid, keys)


def _target(namespace: str, name: str) -> str:
    return f"Deployment {namespace}/{name}"


def _key(body: Mapping[str, Any]) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]
