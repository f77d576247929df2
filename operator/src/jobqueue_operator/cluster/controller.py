"""The control loop of one JobQueue: prepare, observe, decide, scale, tell."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import structlog

from jobqueue_core import failpoints
from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_operator.cluster import paths
from jobqueue_operator.cluster.conditions import Problem, ready_problem
from jobqueue_operator.cluster.status import Facts, status_of, worth_writing
from jobqueue_operator.cluster.workload import deployment_name
from jobqueue_operator.cluster.workloads import foreign_deployment
from jobqueue_operator.resource.jobqueue import scaling_spec, schedules
from jobqueue_operator.scaling import Memory, Suspend, decide, schedule_floor
from jobqueue_operator.targets.deployment import view_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_core.adapters.kube.client import KubeClient
    from jobqueue_core.ports.clock import Clock
    from jobqueue_operator.cluster.events import EventRecorder, EventType
    from jobqueue_operator.cluster.queues import QueueKeeper
    from jobqueue_operator.cluster.status import Status
    from jobqueue_operator.cluster.workloads import Workloads
    from jobqueue_operator.metrics import OperatorMetrics
    from jobqueue_operator.observing.observer import Seen
    from jobqueue_operator.resource.jobqueue import JobQueue
    from jobqueue_operator.scaling import Decision
    from jobqueue_operator.targets.deployment import DeploymentScaler, DeploymentView

_log = structlog.get_logger(__name__)

WAKE_INTERVAL_SECONDS = 1.0
"""However often a controller is woken, it answers at most one wake in this time."""
RESYNC_SECONDS = 300.0
"""What the operator made is looked at anew this often, though no watch has told of a change."""
STUCK_SECONDS = 120.0
"""A round that takes longer than all time-outs together is stuck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What all controllers share."""

    kube: KubeClient
    scaler: DeploymentScaler
    workloads: Workloads
    events: EventRecorder
    metrics: OperatorMetrics
    clock: Clock
    may_act: Callable[[], bool]
    rounds: asyncio.Semaphore


class Surroundings(Protocol):
    """What a controller asks of the fleet."""

    def conflict_of(self, resource: JobQueue) -> str | None:
        """Return why this JobQueue may not act; None when it may."""
        ...

    def deployment(self, namespace: str, name: str) -> DeploymentView | None:
        """Return what is known of a Deployment."""
        ...

    def learn(self, view: DeploymentView) -> None:
        """Take what was read or written of a Deployment before the watch tells of it."""
        ...


class Controller:
    """Keeps one JobQueue as its spec says.

    Each round reads everything and converges again, so that a failed round needs no repair but the next.
    """

    def __init__(
        self, resource: JobQueue, queues: QueueKeeper, tools: Tools, surroundings: Surroundings
    ) -> None:
        self.resource = resource
        self._queues = queues
        self._tools = tools
        self._surroundings = surroundings
        self._memory = Memory()
        self._status: Status = dict(resource.status)
        self._told = _ready_reason(self._status)
        self._woken = asyncio.Event()
        self._last_wake = -math.inf
        self._due = -math.inf
        self._began: float | None = None
        self._prepared: tuple[int, str | None] | None = None
        self._prepared_at = -math.inf
        self._looked_at = -math.inf
        self._paced = False

    def close(self) -> None:
        """Forget what the metrics show of the JobQueue."""
        self._tools.metrics.forget(self.resource.namespace, self._queues.jobs(self.resource))

    def update(self, resource: JobQueue) -> None:
        """Take a newer version of the JobQueue; act at once on what matters."""
        before, self.resource = self.resource, resource
        if (before.generation, before.deleting, before.annotations, before.finalizers) != (
            resource.generation,
            resource.deleting,
            resource.annotations,
            resource.finalizers,
        ):
            self.wake()

    def wake(self) -> None:
        """Ask for a round before the poll is due."""
        self._woken.set()

    def stuck(self) -> bool:
        """Tell whether a round does not come to its end, or the next one not to its beginning."""
        now = self._tools.clock.monotonic()
        began = self._due if self._began is None else self._began
        return math.isfinite(began) and now - began > STUCK_SECONDS

    async def run(self) -> None:
        """Go round until cancelled."""
        clock, metrics = self._tools.clock, self._tools.metrics
        while True:
            # Cleared before the reading: a wake during it may tell of something it has missed.
            self._woken.clear()
            async with self._tools.rounds:
                self._began = clock.monotonic()
                if math.isfinite(self._due):
                    metrics.late.observe(max(0.0, self._began - self._due))
                try:
                    await self.round()
                except JobQueueError as error:
                    _log.warning("round failed", **self._name(), error=str(error))
                except Exception:  # noqa: BLE001 -- whatever it was, the next round tries again
                    _log.exception("round failed", **self._name())
                took = clock.monotonic() - self._began
                metrics.reconcile.observe(took)
            self._due = self._began + max(took, self.resource.spec.scaling.poll_seconds * self._pace())
            self._began = None
            await self._pause()

    async def round(self) -> None:
        """Prepare, observe, decide, scale and tell, once."""
        resource = self.resource
        if not self._tools.may_act():
            return
        if resource.deleting:
            problem = await self._queues.finish(resource)
            if problem is not None:
                await self._tell(resource, self._facts(resource, problem))
            return
        conflict = self._surroundings.conflict_of(resource)
        if conflict is not None:
            await self._tell(resource, self._facts(resource, Problem("Conflict", conflict)))
            return
        problem, view = await self._prepare(resource)
        notices = await self._queues.converge(resource)
        seen = await self._queues.observe(resource)
        facts = self._facts(resource, problem, view)
        facts = replace(facts, dead_letters=seen.dead_letters if seen else None)
        if view is None or problem is not None:
            if seen is not None:
                facts = replace(facts, seen=seen.observation)
            await self._tell(resource, facts)
        else:
            await self._scale(resource, view, seen, facts)
        # Last: the status is what is waited for.
        for notice in notices:
            await self._tools.events.record(resource, notice.kind, notice.reason, notice.message)

    async def _prepare(self, resource: JobQueue) -> tuple[Problem | None, DeploymentView | None]:
        """Make what the operator makes beside the queue; find the target."""
        namespace, name = resource.namespace, deployment_name(resource)
        view = self._surroundings.deployment(namespace, name)
        jobs = self._queues.jobs(resource)
        state = (resource.generation, None if view is None else view.template_hash)
        now = self._tools.clock.monotonic()
        if self._prepared != state or now - self._prepared_at >= RESYNC_SECONDS:
            try:
                await self._tools.workloads.settings(resource, jobs)
                if resource.spec.worker.template is not None:
                    problem, made = await self._tools.workloads.deployment(resource, jobs, view)
                    if problem is not None:
                        return problem, None
                    if made is not None:
                        view = view_of(made)
                        self._surroundings.learn(view)
            except KubeError as error:
                message = f"{error}; allow it in the operator's role, or give the JobQueue another namespace"
                return Problem(
                    "TargetForbidden" if error.status == _FORBIDDEN else "KubernetesError", message
                ), view
            self._prepared = (resource.generation, None if view is None else view.template_hash)
            self._prepared_at = now
        if view is None:
            view = await self._look(namespace, name)
        if view is None:
            message = (
                f"the Deployment {name} does not exist in namespace {namespace}: create it, or name another "
                "in spec.worker.scaleTargetRef"
            )
            return Problem("TargetNotFound", message), None
        if resource.spec.worker.template is not None and view.owner != resource.uid:
            # It was there before: another's, whatever was learnt of it and when.
            return foreign_deployment(name), None
        return None, view

    async def _look(self, namespace: str, name: str) -> DeploymentView | None:
        """Read a target that the watch knows nothing of, now and then: it may only not have told yet."""
        now = self._tools.clock.monotonic()
        if now - self._looked_at < RESYNC_SECONDS:
            return None
        self._looked_at = now
        try:
            view = view_of(await self._tools.kube.get(f"{paths.deployments(namespace)}/{name}"))
        except KubeError as error:
            if error.not_found:
                return None
            raise
        self._surroundings.learn(view)
        return view

    async def _scale(self, resource: JobQueue, view: DeploymentView, seen: Seen | None, facts: Facts) -> None:
        tools, now = self._tools, self._tools.clock.now()
        spec = scaling_spec(resource.spec)
        floor = schedule_floor(schedules(resource.spec), now)
        observation = replace(
            self._queues.observation(seen), current=view.replicas, ready=view.ready, schedule_floor=floor
        )
        decision = decide(spec, observation, self._memory, now)
        memory = decision.memory
        written = view
        if decision.changed:
            if not tools.may_act():
                return
            try:
                failpoints.hit("operator.before_scale")
                scale = await tools.scaler.scale(view, decision.to, observation.busy_worker_ids)
                failpoints.hit("operator.after_scale")
            except KubeError as error:
                self._memory = replace(memory, last_scale_time=self._memory.last_scale_time)
                what = "does not exist any more" if error.not_found else "cannot be scaled"
                reason = "TargetNotFound" if error.not_found else "TargetForbidden"
                problem = Problem(reason, f"the Deployment {view.name} {what}: {error}")
                await self._tell(resource, replace(facts, problem=problem, seen=observation))
                return
            written = replace(view, replicas=decision.to, version=int(scale["metadata"]["resourceVersion"]))
            self._surroundings.learn(written)
            await self._announce(resource, decision)
        self._memory = memory
        facts = replace(facts, decision=decision, seen=observation, replicas=written.replicas)
        await self._tell(resource, facts)
        jobs = self._queues.jobs(resource)
        tools.metrics.decided(resource.namespace, jobs, decision, view.ready)

    async def _announce(self, resource: JobQueue, decision: Decision) -> None:
        _log.info("scale_decision", **self._name(), **decision.for_log())
        reason = "ScaledUp" if decision.to > decision.from_ else "ScaledDown"
        message = f"{decision.reason}: {decision.message}"
        await self._tools.events.record(resource, "Normal", reason, message)

    def _facts(
        self, resource: JobQueue, problem: Problem | None, view: DeploymentView | None = None
    ) -> Facts:
        return Facts(
            generation=resource.generation,
            suspend=Suspend(resource.spec.suspend),
            concurrency=resource.spec.worker.concurrency,
            problem=problem,
            unread=self._queues.problem,
            replicas=None if view is None else view.replicas,
            ready=0 if view is None else view.ready,
            selector=None if view is None else view.selector,
            queue_url=self._queues.url,
            dead_letter_url=self._queues.dead_letter_url,
            jobs=self._queues.jobs(resource),
        )

    async def _tell(self, resource: JobQueue, facts: Facts) -> None:
        """Write the status where it says anything new; an Event when it becomes ready or stops being so."""
        metrics, jobs = self._tools.metrics, self._queues.jobs(resource)
        status = status_of(facts, self._status, self._tools.clock.now())
        why = ready_problem(facts.problem, facts.unread)
        metrics.ready.labels(resource.namespace, jobs).set(why is None)
        if facts.seen is not None:
            drain = status["drainSeconds"]
            metrics.observed(resource.namespace, jobs, facts.seen, facts.dead_letters, drain)
        reason = None if why is None else why.reason
        if reason != self._told:
            kind: EventType = "Normal" if why is None else "Warning"
            message = "queue and workers are as the spec says again" if why is None else why.message
            await self._tools.events.record(resource, kind, reason or "Ready", message)
            self._told = reason
        if worth_writing(status, self._status):
            path = f"{paths.jobqueue(resource.namespace, resource.name)}/status"
            try:
                failpoints.hit("operator.before_status")
                await self._tools.kube.patch(path, {"status": status})
                failpoints.hit("operator.after_status")
            except KubeError as error:
                if not error.not_found:  # else it was deleted meanwhile
                    raise
            self._status = status

    def _pace(self) -> float:
        """Return what to multiply the first poll's wait by, so that many made at once part company."""
        if self._paced:
            return 1.0
        self._paced = True
        return 0.5 + (crc32(self.resource.uid.encode()) % 1000) / 2000

    async def _pause(self) -> None:
        """Wait for the poll, or for a wake that is not too soon after the last one."""
        clock = self._tools.clock
        waits = {
            asyncio.ensure_future(self._woken.wait()),
            asyncio.ensure_future(clock.sleep(max(0.0, self._due - clock.monotonic()))),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self._woken.is_set():
            too_soon = self._last_wake + WAKE_INTERVAL_SECONDS - clock.monotonic()
            if too_soon > 0:
                await clock.sleep(too_soon)
            self._last_wake = clock.monotonic()
            self._due = min(self._due, self._last_wake)

    def _name(self) -> dict[str, str]:
        return {"namespace": self.resource.namespace, "jobqueue": self.resource.name}


_FORBIDDEN = 403


def _ready_reason(status: Status) -> str | None:
    """Return why the JobQueue was not ready as of a status; None when it was, or was never told."""
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "False":
            return str(condition["reason"])
    return None
