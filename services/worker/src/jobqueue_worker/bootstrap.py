"""Puts one worker together: the only place that knows every part."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.assembly import (
    flow_policy,
    flow_store,
    job_rules,
    job_store,
    new_token,
    open_database,
    queue_plan,
)
from jobqueue_core.ports.clock import SystemClock
from jobqueue_core.settings.queue import drain_seconds, request_headers, require_processor_url
from jobqueue_core.store_clock import StoreClock
from jobqueue_worker.attempts import MessageHandler
from jobqueue_worker.caller import HttpProcessor, ProcessorTarget
from jobqueue_worker.claims import Claimer
from jobqueue_worker.flow import FlowGate
from jobqueue_worker.gate import StoreGate
from jobqueue_worker.held import Holdings
from jobqueue_worker.renewal import Renewer
from jobqueue_worker.settle import Settler
from jobqueue_worker.slots import Slots
from jobqueue_worker.stats import WorkerStats
from jobqueue_worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.settings.model import Settings
    from jobqueue_core.settings.queue import QueueSettings
    from jobqueue_core.telemetry.metrics import Metrics
    from jobqueue_worker.caller import Processor

# A receive, and beside it deletes, visibility changes and dead letters.
_SQS_CONNECTIONS = 20


def worker_id(settings: Settings) -> str:
    """Return the configured id, or one of this host (a pod's name) and process."""
    return settings.worker.id or f"{socket.gethostname()}-{os.getpid()}"


def processor_target(queue: QueueSettings, env: Mapping[str, str]) -> ProcessorTarget:
    """Return where the queue's jobs are posted.

    Raises:
        SettingsError: the URL, or the variable of a header, is missing.

    """
    return ProcessorTarget(
        url=require_processor_url(queue),
        timeout_seconds=queue.processor.timeout_seconds,
        connect_timeout_seconds=queue.processor.connect_timeout_seconds,
        headers=request_headers(queue, env),
        result_max_bytes=queue.processor.result_max_bytes,
        connections=queue.concurrency,
    )


def make_worker(  # noqa: PLR0913 - the one wiring point, all by keyword
    *,
    settings: Settings,
    queue_settings: QueueSettings,
    queue: MessageQueue,
    store: JobStore,
    flows: FlowStore,
    processor: Processor,
    metrics: Metrics,
    clock: Clock,
) -> Worker:
    """Return a worker of one queue on the given ports."""
    rules = job_rules(settings, queue_settings)
    name = worker_id(settings)
    renewer = Renewer(queue, queue_settings.sqs.max_receive_count)
    holdings = Holdings(queue, store, renewer, clock, queue_settings.sqs.visibility_timeout_seconds)
    gate = StoreGate(store, clock)
    flow = FlowGate(
        queue=queue_settings.name,
        worker=name,
        slots=queue_settings.concurrency,
        policy=flow_policy(queue_settings),
        store=flows,
        gate=gate,
        clock=clock,
    )
    metrics.watch_flow(
        queue_settings.name, waiting=lambda: flow.waiting, is_open=lambda: flow.circuit_is_open
    )
    stats = WorkerStats(
        worker=name,
        queue=queue_settings.name,
        slots=queue_settings.concurrency,
        metrics=metrics,
        started_at=clock.now(),
    )
    slots = Slots(queue_settings.concurrency)
    claimer = Claimer(store=store, rules=rules, clock=clock, worker_id=name, new_token=new_token)
    settler = Settler(queue, store, holdings, renewer, clock)
    handler = MessageHandler(
        store=store,
        processor=processor,
        slots=slots,
        claimer=claimer,
        settler=settler,
        holdings=holdings,
        gate=gate,
        flow=flow,
        stats=stats,
        rules=rules,
        clock=clock,
        new_token=new_token,
    )
    return Worker(
        queue=queue,
        store=store,
        handler=handler,
        slots=slots,
        claimer=claimer,
        settler=settler,
        holdings=holdings,
        gate=gate,
        flow=flow,
        stats=stats,
        clock=clock,
        concurrency=queue_settings.concurrency,
        receive_wait_seconds=queue_settings.sqs.receive_wait_seconds,
        drain_seconds=drain_seconds(settings.worker.drain_seconds, queue_settings),
        heartbeat_seconds=settings.worker.heartbeat_seconds,
        on_heartbeat=metrics.worker_state,
    )


@asynccontextmanager
async def opened_worker(
    settings: Settings, queue_settings: QueueSettings, target: ProcessorTarget, metrics: Metrics
) -> AsyncIterator[tuple[Worker, SqsQueue]]:
    """Open the real connections of a worker, and close them after it."""
    database = open_database(settings)
    store = job_store(settings, database)
    clock = StoreClock(SystemClock(), store)
    following = asyncio.create_task(clock.follow())
    processor = HttpProcessor(target, clock)
    try:
        async with SqsConnection(metrics, max_connections=_SQS_CONNECTIONS) as connection:
            queue = SqsQueue(connection, queue_plan(queue_settings))
            worker = make_worker(
                settings=settings,
                queue_settings=queue_settings,
                queue=queue,
                store=store,
                flows=flow_store(database),
                processor=processor,
                metrics=metrics,
                clock=clock,
            )
            yield worker, queue
    finally:
        following.cancel()
        await processor.close()
        await store.close()
