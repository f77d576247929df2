"""The one place where the API is put together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from jobqueue_api.access import access_log
from jobqueue_api.app import create_app
from jobqueue_api.auth import ApiKeys
from jobqueue_api.cluster.learner import JobQueueSource, QueueLearner
from jobqueue_api.dead_letters.service import DeadLetters
from jobqueue_api.directory import QueueDirectory
from jobqueue_api.jobs.actions import JobActions
from jobqueue_api.metrics import ApiMetrics
from jobqueue_api.middleware import Gateway
from jobqueue_api.queues.readings import QueueReader
from jobqueue_api.queues.schedules import ScheduleReader
from jobqueue_api.routing import RawRoute
from jobqueue_api.submission.batch import BODY_FACTOR
from jobqueue_api.submission.requests import SubmissionLimits
from jobqueue_api.submission.routes import BATCH_PATH
from jobqueue_api.submission.service import Submissions
from jobqueue_api.upstream import WatchedStore, for_ever, until_done
from jobqueue_api.wake import Waker, WakeWriter
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.assembly import (
    flow_store,
    job_rules,
    job_store,
    new_token,
    open_database,
    queue_plan,
    recurrences,
    redrive_store,
    schedule_store,
)
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.ids import JobIds
from jobqueue_core.ports.clock import Clock, SystemClock
from jobqueue_core.recurring import RecurringJobs
from jobqueue_core.redrive import Redriver
from jobqueue_core.relay import Relay, RelaySettings
from jobqueue_core.store_clock import StoreClock
from jobqueue_core.sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.types import ASGIApp

    from jobqueue_api.access import AccessLog
    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.redrives import RedriveStore
    from jobqueue_core.ports.schedules import ScheduleStore
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.settings.model import Settings
    from jobqueue_core.settings.queue import QueueSettings

# How long the relay waits at start for the queues of the cluster; an API server that is away holds it up no
# longer.
_LEARNING_SECONDS = 10.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What is kept in the database.

    Attributes:
        jobs: every job.
        schedules: how far the schedules of recurring jobs have come.
        redrives: tasks that run failed jobs again.
        flows: what workers know of the external services.

    """

    jobs: JobStore
    schedules: ScheduleStore
    redrives: RedriveStore
    flows: FlowStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is made of."""

    settings: Settings
    store: JobStore
    watch: WatchedStore
    directory: QueueDirectory
    clock: Clock
    metrics: ApiMetrics
    submissions: Submissions
    submission_limits: SubmissionLimits
    actions: JobActions
    reader: QueueReader
    schedules: ScheduleReader
    dead_letters: DeadLetters
    stores: Stores
    relay: Relay
    waker: Waker | None
    learner: QueueLearner | None


class Cluster(JobQueueSource, WakeWriter, Protocol):
    """A Kubernetes cluster, as the API needs it."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces whose JobQueues count."""
        ...


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """A cluster, and how the queue of one of its JobQueues is opened."""

    cluster: Cluster
    open_queue: Callable[[QueueSettings], MessageQueue]


def assemble(
    settings: Settings,
    *,
    stores: Stores,
    queues: Mapping[str, MessageQueue],
    clock: Clock,
    metrics: ApiMetrics,
    token: Callable[[], str] = new_token,
    access: ClusterAccess | None = None,
) -> Parts:
    """Put the parts together.

    Args:
        settings: of the process.
        stores: open stores.
        queues: a queue for each configured one, by its name in requests.
        clock: tells the time and waits.
        metrics: of the process.
        token: makes fencing tokens.
        access: the cluster whose queues are learnt and whose operator is woken; None: there is none.

    """
    store = stores.jobs
    watch = WatchedStore(store, clock)
    waker = None if access is None else _waker(settings, access, store, clock, metrics)
    directory = QueueDirectory(
        store=store, clock=clock, metrics=metrics, arrived=None if waker is None else waker.arrived
    )
    for name, queue in queues.items():
        own = settings.queue(name)
        directory.add(name, queue, job_rules(settings, own))
        directory.schedule(name, recurrences(name, own.schedules))
    learner = None
    if access is not None and waker is not None:
        learner = QueueLearner(
            settings=settings,
            source=access.cluster,
            namespaces=access.cluster.namespaces,
            directory=directory,
            waker=waker,
            open_queue=access.open_queue,
            clock=clock,
        )
    submissions = Submissions(
        store=store, watch=watch, directory=directory, clock=clock, ids=JobIds(), new_token=token
    )
    recurring = RecurringJobs(
        schedules=directory.schedules,
        store=store,
        states=stores.schedules,
        rules=directory.rules,
        clock=clock,
        observer=metrics,
        new_token=token,
    )
    sweeper = Sweeper(
        store=store,
        queues=directory.queues,
        clock=clock,
        observer=metrics,
        check_seconds=settings.relay.lost_after_seconds / 2,
    )
    redriver = Redriver(
        store=store,
        redrives=stores.redrives,
        queues=directory.queues,
        rules=directory.rules,
        clock=clock,
        observer=metrics,
        new_token=token,
        done=sweeper.ask,
    )
    relay_settings = RelaySettings(
        poll_seconds=settings.relay.poll_seconds,
        lost_after_seconds=settings.relay.lost_after_seconds,
        resend_after_seconds=settings.relay.resend_after_seconds,
    )
    return Parts(
        settings=settings,
        store=store,
        watch=watch,
        directory=directory,
        clock=clock,
        metrics=metrics,
        submissions=submissions,
        submission_limits=SubmissionLimits(
            default_queue=settings.default_queue,
            queues=directory.accepted,
            max_delay_seconds=settings.api.limits.max_delay_seconds,
            is_complete=_nothing_to_learn if learner is None else learner.is_complete,
        ),
        actions=JobActions(
            store=store,
            submissions=submissions,
            directory=directory,
            default_queue=settings.default_queue,
            clock=clock,
            new_token=token,
            metrics=metrics,
        ),
        dead_letters=DeadLetters(
            store=store, redrives=stores.redrives, queues=directory.accepted, clock=clock
        ),
        stores=stores,
        schedules=ScheduleReader(directory.schedules, stores.schedules, clock),
        reader=QueueReader(
            store=store,
            flows=stores.flows,
            queues=directory.queues,
            clock=clock,
            heartbeat_seconds=settings.worker.heartbeat_seconds,
        ),
        relay=Relay(
            store=store,
            queues=directory.queues,
            rules=directory.rules,
            clock=clock,
            settings=relay_settings,
            observer=metrics,
            new_token=token,
            chores=[recurring, redriver, sweeper],
        ),
        waker=waker,
        learner=learner,
    )


def _waker(
    settings: Settings, access: ClusterAccess, store: JobStore, clock: Clock, metrics: ApiMetrics
) -> Waker:
    return Waker(
        store=store,
        writer=access.cluster,
        clock=clock,
        observer=metrics,
        heartbeat_seconds=settings.worker.heartbeat_seconds,
    )


def _nothing_to_learn() -> bool:
    return True


@asynccontextmanager
async def running(parts: Parts, log: AccessLog | None = None) -> AsyncIterator[ASGIApp]:
    """Run what works in the background, and give the application; at the end send what waits.

    Args:
        parts: the assembled API.
        log: the access log; None: the one that the settings ask for.

    """
    settings, api = parts.settings, parts.settings.api
    if not api.auth.enabled:
        _log.warning("API keys are off: whoever reaches this address may submit and read jobs")
    clock, learner = parts.clock, parts.learner
    jobs = [
        until_done("store", parts.watch.prepare, clock),
        until_done("redrives", parts.stores.redrives.prepare, clock),
    ]
    jobs += [
        until_done(f"queue {name}", queue.prepare, clock) for name, queue in parts.directory.accepted.items()
    ]
    if learner is not None:
        jobs += [
            for_ever(f"JobQueues of {namespace}", partial(learner.follow, namespace), clock)
            for namespace in learner.namespaces
        ]
    if settings.relay.enabled:
        jobs.append(_relay(parts))
    tasks = [asyncio.create_task(job) for job in jobs]
    limit = api.limits.max_body_bytes
    try:
        app = create_app(parts)
        yield Gateway(
            app,
            metrics=parts.metrics,
            access_log=log or access_log(settings.logging),
            max_body_bytes=limit,
            max_body_bytes_of={BATCH_PATH: limit * BODY_FACTOR},
            direct=[route for route in app.routes if isinstance(route, RawRoute)],
            keys=ApiKeys([(key.name, key.sha256) for key in api.auth.keys]) if api.auth.enabled else None,
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if learner is not None:
            await learner.close()
        await parts.submissions.close()
        if parts.waker is not None:
            await parts.waker.close()


async def _relay(parts: Parts) -> None:
    if parts.learner is not None:
        # To a relay that does not know a queue yet, its jobs are nobody's: it puts them off.
        await parts.learner.wait(_LEARNING_SECONDS)
    await for_ever("relay", parts.relay.run, parts.clock)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[ASGIApp]:
    """Give the application on MongoDB and SQS, as the settings say."""
    metrics = ApiMetrics()
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(SqsConnection(metrics))
        database = open_database(settings)
        store = job_store(settings, database)
        stack.push_async_callback(store.close)
        clock = StoreClock(SystemClock(), store)
        stack.callback(asyncio.create_task(clock.follow()).cancel)

        def open_queue(queue: QueueSettings) -> SqsQueue:
            return SqsQueue(connection, queue_plan(queue))

        cluster = _cluster(settings, metrics, clock, stack)
        parts = assemble(
            settings,
            stores=Stores(
                jobs=store,
                schedules=schedule_store(database),
                redrives=redrive_store(database),
                flows=flow_store(database),
            ),
            queues={name: open_queue(settings.queue(name)) for name in settings.queue_names},
            clock=clock,
            metrics=metrics,
            access=None if cluster is None else ClusterAccess(cluster, open_queue),
        )
        yield await stack.enter_async_context(running(parts))


def _cluster(settings: Settings, metrics: ApiMetrics, clock: Clock, stack: AsyncExitStack) -> Cluster | None:
    """Open the cluster where the settings ask for it; without one the settings' own queues work."""
    if not settings.api.kubernetes.enabled:
        return None
    # Imported here: the client of Kubernetes takes 0.7 s and 49 MB that others need not spend.
    from jobqueue_api.cluster.kubernetes import opened_cluster  # noqa: PLC0415

    try:
        return stack.enter_context(opened_cluster(metrics, clock, settings.api.kubernetes.namespaces))
    except JobQueueError as error:
        _log.error("the queues of JobQueues stay unknown", error=str(error))
        return None
