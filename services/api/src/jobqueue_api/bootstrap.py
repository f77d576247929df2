"""The one place where the API is put together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from jobqueue_api.access import access_log
from jobqueue_api.app import create_app
from jobqueue_api.auth import ApiKeys
from jobqueue_api.jobs.actions import JobActions
from jobqueue_api.middleware import Gateway
from jobqueue_api.queues.readings import QueueReader
from jobqueue_api.routing import RawRoute
from jobqueue_api.submission.batch import BODY_FACTOR
from jobqueue_api.submission.requests import SubmissionLimits
from jobqueue_api.submission.routes import BATCH_PATH
from jobqueue_api.submission.service import Submissions
from jobqueue_api.upstream import WatchedQueue, WatchedStore, for_ever, until_done
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.assembly import job_rules, new_token, open_store, queue_plan
from jobqueue_core.domain.ids import JobIds
from jobqueue_core.ports.clock import Clock, SystemClock
from jobqueue_core.relay import Relay, RelaySettings
from jobqueue_core.sender import Sender
from jobqueue_core.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.types import ASGIApp

    from jobqueue_api.access import AccessLog
    from jobqueue_core.domain.transitions import JobRules
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.settings.model import Settings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is made of."""

    settings: Settings
    store: JobStore
    watch: WatchedStore
    queues: Mapping[str, WatchedQueue]
    rules: Mapping[str, JobRules]
    clock: Clock
    metrics: Metrics
    submissions: Submissions
    submission_limits: SubmissionLimits
    actions: JobActions
    reader: QueueReader
    relay: Relay


def assemble(
    settings: Settings,
    *,
    store: JobStore,
    queues: Mapping[str, MessageQueue],
    clock: Clock,
    metrics: Metrics,
    token: Callable[[], str] = new_token,
) -> Parts:
    """Put the parts together.

    Args:
        settings: of the process.
        store: an open job store.
        queues: a queue for each configured one, by its name in requests.
        clock: tells the time and waits.
        metrics: of the process.
        token: makes fencing tokens.

    """
    watch = WatchedStore(store, clock)
    watched = {name: WatchedQueue(queue) for name, queue in queues.items()}
    rules = {name: job_rules(settings, settings.queue(name)) for name in queues}
    submissions = Submissions(
        store=store,
        watch=watch,
        senders={name: Sender(queue, store, clock) for name, queue in watched.items()},
        rules=rules,
        clock=clock,
        ids=JobIds(),
        new_token=token,
        metrics=metrics,
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
        queues=watched,
        rules=rules,
        clock=clock,
        metrics=metrics,
        submissions=submissions,
        submission_limits=SubmissionLimits(
            default_queue=settings.default_queue,
            queues=tuple(queues),
            max_delay_seconds=settings.api.limits.max_delay_seconds,
        ),
        actions=JobActions(
            store=store,
            submissions=submissions,
            rules=rules,
            default_queue=settings.default_queue,
            clock=clock,
            new_token=token,
            metrics=metrics,
        ),
        reader=QueueReader(
            store=store, queues=watched, clock=clock, heartbeat_seconds=settings.worker.heartbeat_seconds
        ),
        relay=Relay(
            store=store,
            queues=watched,
            rules=rules,
            clock=clock,
            settings=relay_settings,
            observer=metrics,
            new_token=token,
        ),
    )


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
    jobs = [until_done("store", parts.watch.prepare, parts.clock)]
    jobs += [until_done(f"queue {name}", queue.prepare, parts.clock) for name, queue in parts.queues.items()]
    if settings.relay.enabled:
        jobs.append(for_ever("relay", parts.relay.run, parts.clock))
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
        await parts.submissions.close()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[ASGIApp]:
    """Give the application on MongoDB and SQS, as the settings say."""
    metrics = Metrics("api")
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(SqsConnection(metrics))
        store = open_store(settings)
        stack.push_async_callback(store.close)
        queues = {
            name: SqsQueue(connection, queue_plan(settings.queue(name))) for name in settings.queue_names
        }
        parts = assemble(settings, store=store, queues=queues, clock=SystemClock(), metrics=metrics)
        yield await stack.enter_async_context(running(parts))
