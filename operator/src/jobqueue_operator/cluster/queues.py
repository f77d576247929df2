"""The queue of one JobQueue: made, kept as the spec says, read, and deleted with it where that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from jobqueue_core import failpoints
from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_core.ports.queue_admin import OWNER_TAG, QueueAdminError, QueueFault, QueuePlan, fault_of
from jobqueue_operator.cluster import paths
from jobqueue_operator.cluster.conditions import QUEUE_REACHABLE, Problem
from jobqueue_operator.observing.observer import ClusterObserver
from jobqueue_operator.resource.names import DELETE_MESSAGES, FINALIZER
from jobqueue_operator.scaling import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.adapters.kube.client import KubeClient
    from jobqueue_core.domain.errors import QueueUnavailableError
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue_admin import Provisioned, QueueAdmin
    from jobqueue_core.settings.model import Settings
    from jobqueue_operator.cluster.events import EventType
    from jobqueue_operator.cluster.owners import Owners
    from jobqueue_operator.observing.observer import Seen
    from jobqueue_operator.observing.store_reader import StoreReader
    from jobqueue_operator.resource.jobqueue import JobQueue

_RESYNC_SECONDS = 300.0
_RETRY_SECONDS = 5.0
_RESUME_SECONDS = 60.0

_TAGS = {"jobqueue.dev/managed-by": "jobqueue-operator"}

_WHAT_TO_DO = {
    QueueFault.MISSING: "create it, or set spec.queue.provision to true",
    QueueFault.ACCESS_DENIED: "give the operator credentials that its IAM policy allows this",
    QueueFault.DELETED_RECENTLY: "SQS lets it be made again 60 s after it was deleted; it is tried again",
    QueueFault.FOREIGN: "name another queue in spec.queue",
    QueueFault.UNREACHABLE: "the workers are held until it answers again",
    QueueFault.REFUSED: "correct spec.queue",
}
_REASON = {
    QueueFault.MISSING: "QueueMissing",
    QueueFault.ACCESS_DENIED: "AccessDenied",
    QueueFault.DELETED_RECENTLY: "QueueMissing",
    QueueFault.FOREIGN: "QueueForeign",
    QueueFault.UNREACHABLE: "Unreachable",
    QueueFault.REFUSED: "QueueRefused",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was done to the queue, to be told as an Event."""

    kind: EventType
    reason: str
    message: str


def queue_names(settings: Settings) -> dict[str, str]:
    """Return the settings' name of each SQS queue: it wins over what a JobQueue says, as in the API."""
    names: dict[str, str] = {}
    for name in settings.queue_names:
        sqs = settings.queue(name).sqs
        names.setdefault(sqs.queue_url or sqs.queue_name, name)
    return names


class QueueKeeper:
    """Looks after one queue.

    Attributes:
        url: Of the queue; None until it was found.
        dead_letter_url: Of its dead-letter queue.
        problem: Why queue or store could not be read lately; None when they could.
    """

    def __init__(
        self,
        *,
        admin: QueueAdmin,
        reader: StoreReader,
        kube: KubeClient,
        clock: Clock,
        names: Mapping[str, str],
        owners: Owners,
        heartbeat_seconds: float,
    ) -> None:
        self._admin = admin
        self._reader = reader
        self._kube = kube
        self._clock = clock
        self._names = names
        self._owners = owners
        self._heartbeat_seconds = heartbeat_seconds
        self._observer: ClusterObserver | None = None
        self._converged: int | None = None
        self._next_converge = 0.0
        self.url: str | None = None
        self.dead_letter_url: str | None = None
        self.problem: Problem | None = None

    def jobs(self, resource: JobQueue) -> str:
        """Return the name by which jobs name the queue."""
        return self._names.get(resource.spec.queue.queue_identity, resource.spec.queue.jobs_name)

    async def converge(self, resource: JobQueue) -> list[Notice]:
        """Find or make the queues and put their attributes right, where it is due.

        Due are a new spec, attributes changed by hand, a queue that is gone, and every five minutes.

        Raises:
            KubeError: The finalizer could not be written.
        """
        now = self._clock.monotonic()
        if self._converged is None:
            self._resume(resource, now)
        if self._converged == resource.generation and now < self._next_converge:
            return []
        await self._hold_deletion(resource)
        try:
            tags = {OWNER_TAG: self._owners.tag(resource.namespace, resource.name), **_TAGS}
            failpoints.hit("operator.before_queue")
            done = await self._admin.converge(_plan(resource), tags, self._owners.gone)
            failpoints.hit("operator.after_queue")
        except QueueAdminError as error:
            self._fail(error)
            self._next_converge = now + _RETRY_SECONDS
            self._converged = resource.generation
            return []
        self._converged, self._next_converge = resource.generation, now + _RESYNC_SECONDS
        self.problem = None
        self._watch(resource, done.url, done.dead_letter_url)
        return _notices(done)

    def _resume(self, resource: JobQueue, now: float) -> None:
        """After a start go on with the queues that the status names, and look at them within a minute.

        A thousand queues would else be looked at all at once before the first of them is read.
        """
        told = resource.status.get("queue") or {}
        reached = any(
            condition["type"] == QUEUE_REACHABLE and condition["status"] == "True"
            for condition in resource.status.get("conditions") or ()
        )
        same = resource.status.get("observedGeneration") == resource.generation
        if reached and same and told.get("url") and told.get("deadLetterUrl"):
            self._watch(resource, told["url"], told["deadLetterUrl"])
            self._converged = resource.generation
            # Spread by what differs between JobQueues.
            self._next_converge = now + _RESUME_SECONDS * (crc32(resource.uid.encode()) % 1000) / 1000

    def _watch(self, resource: JobQueue, url: str, dead_letter_url: str) -> None:
        if (self.url, self.dead_letter_url) != (url, dead_letter_url) or self._observer is None:
            self.url, self.dead_letter_url = url, dead_letter_url
            self._observer = ClusterObserver(
                self.jobs(resource),
                url=url,
                dead_letter_url=dead_letter_url,
                plan=_plan(resource),
                admin=self._admin,
                reader=self._reader,
                clock=self._clock,
                heartbeat_seconds=self._heartbeat_seconds,
            )
        self._observer.expect(_plan(resource), max_attempts=resource.spec.retry.max_attempts)

    async def observe(self, resource: JobQueue) -> Seen | None:
        """Read queue and store once; None while the queue was never found."""
        if self._observer is None:
            return None
        seen = await self._observer.observe()
        now = self._clock.monotonic()
        if seen.queue_error is not None:
            self._fail(seen.queue_error)
            if fault_of(seen.queue_error) is QueueFault.MISSING:
                # It was deleted behind our back: made again, or found again, at the next round.
                self._next_converge = min(self._next_converge, now)
        elif seen.store_error is not None:
            message = f"the job store cannot be read: {seen.store_error}; workers are held until it can"
            self.problem = Problem("StoreUnreachable", message)
        else:
            self.problem = None
        if seen.drifted and resource.spec.queue.provision:
            self._next_converge = min(self._next_converge, now)
        return seen

    def observation(self, seen: Seen | None) -> Observation:
        """Return what to decide on; all unknown while the queue was never read."""
        if seen is not None:
            return seen.observation
        reason = "the queue was not read yet" if self.problem is None else self.problem.message
        return Observation.unknown(reason)

    async def finish(self, resource: JobQueue) -> Problem | None:
        """Let a JobQueue go that is being deleted, its queues before it where the spec says so.

        Returns:
            Why it cannot go yet.

        Raises:
            KubeError: The finalizer could not be taken off.
        """
        if FINALIZER not in resource.finalizers:
            return None
        if resource.spec.queue.deletion_policy == "Delete" and resource.spec.queue.provision:
            problem = await self._delete(resource)
            if problem is not None:
                return problem
        await self._finalizers(resource, [item for item in resource.finalizers if item != FINALIZER])
        return None

    async def _delete(self, resource: JobQueue) -> Problem | None:
        forced = resource.annotations.get(DELETE_MESSAGES) == "true"
        way_out = (
            f"annotate the JobQueue with {DELETE_MESSAGES}=true to delete them too, or set "
            "spec.queue.deletionPolicy to Retain to keep the queue"
        )
        owner = self._owners.tag(resource.namespace, resource.name)
        try:
            held = 0 if forced else await self._admin.messages(_plan(resource), owner)
            if held:
                message = f"{held} messages are in the queue and its dead-letter queue: {way_out}"
                return Problem("DeletionRefused", message)
            await self._admin.delete(_plan(resource), owner)
        except QueueAdminError as error:
            what = _WHAT_TO_DO[error.fault]
            message = f"the queue cannot be deleted: {error}; {what}, or set deletionPolicy to Retain"
            return Problem("DeletionRefused", message)
        return None

    async def _hold_deletion(self, resource: JobQueue) -> None:
        """Put the finalizer on where the queue is to go with the JobQueue, and only there."""
        queue = resource.spec.queue
        wanted = queue.provision and queue.deletion_policy == "Delete"
        if wanted and FINALIZER not in resource.finalizers:
            await self._finalizers(resource, [*resource.finalizers, FINALIZER])
        elif not wanted and FINALIZER in resource.finalizers:
            await self._finalizers(resource, [item for item in resource.finalizers if item != FINALIZER])

    async def _finalizers(self, resource: JobQueue, finalizers: list[str]) -> None:
        # The list is replaced as a whole: only if nobody has changed the object since it was seen.
        metadata = {"finalizers": finalizers, "resourceVersion": resource.version}
        try:
            path = paths.jobqueue(resource.namespace, resource.name)
            await self._kube.patch(path, {"metadata": metadata})
        except KubeError as error:
            if not error.not_found:
                raise

    def _fail(self, error: QueueUnavailableError) -> None:
        fault = fault_of(error)
        self.problem = Problem(_REASON[fault], f"{error}; {_WHAT_TO_DO[fault]}")


def _plan(resource: JobQueue) -> QueuePlan:
    queue = resource.spec.queue
    return QueuePlan(
        name=queue.sqs_name,
        url=queue.url,
        dead_letter_name=queue.dead_letter_name,
        visibility_timeout_seconds=queue.visibility_timeout_seconds,
        max_receive_count=queue.dead_letter.max_receive_count,
        create=queue.provision,
    )


def _notices(done: Provisioned) -> list[Notice]:
    made = " and ".join(done.created)
    notices = [Notice("Normal", "QueueCreated", f"created in SQS: {made}")] if made else []
    return notices + [
        Notice(
            "Warning",
            "QueueCorrected",
            f"{change.attribute} of {change.queue} was {change.was or 'not set'} and is {change.now} again",
        )
        for change in done.corrected
    ]
