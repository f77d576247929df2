"""`GET /queues` and `GET /queues/{name}`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Path
from pydantic import BaseModel, Field

from jobqueue_api.jobs.views import Rfc3339, View
from jobqueue_api.openapi import answers
from jobqueue_api.problems import Kind, Problem, cut, listed
from jobqueue_core.domain.circuit import CircuitState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

    from jobqueue_api.queues.readings import QueueReader, Reading
    from jobqueue_core.ports.queue import MessageQueue


class MessagesView(View):
    """SQS's own counts; approximate."""

    visible: int
    in_flight: int
    delayed: int


class PhasesView(View):
    """The store's jobs by phase."""

    scheduled: int
    queued: int
    running: int
    retrying: int
    succeeded: int
    failed: int
    cancelled: int


class WorkerView(View):
    """A worker that was heard of lately."""

    worker: str
    slots: int
    busy: int
    service_seconds: float | None
    draining: bool
    seen_at: Rfc3339


class QueueView(View):
    """A queue. What could not be read is null, never 0."""

    name: str
    sqs_name: str
    fifo: bool
    read_at: Rfc3339
    messages: MessagesView | None
    dead_letters: int | None = Field(description="Messages in the dead-letter queue.")
    jobs: PhasesView | None
    oldest_age_seconds: float | None = Field(
        description="Age of the job that has waited longest; 0: none waits."
    )
    workers: list[WorkerView] | None
    slots: int | None = Field(description="Jobs that can run at once.")
    busy: int | None = Field(description="Slots that run a job.")
    service_seconds: float | None = Field(
        description="Mean length of one attempt lately; null before the first."
    )
    drain_seconds: float | None = Field(
        description="When the queue will be empty if nothing new comes; null: it cannot be told, as when no "
        "worker runs."
    )
    circuit: CircuitState | None = Field(
        description="`open`: the external service fails and is not called; `half-open`: one call is let "
        "through to see whether it is back."
    )
    paused_until: Rfc3339 | None = Field(
        description="When calls begin again, where the external service asked to be left alone (Retry-After)."
    )


class QueueList(BaseModel):
    """Every configured queue, the default queue first."""

    queues: list[QueueView]


_EXAMPLE: Final = {
    "name": "default",
    "sqsName": "jobs",
    "fifo": False,
    "readAt": "2026-01-31T09:30:00.250Z",
    "messages": {"visible": 120, "inFlight": 20, "delayed": 0},
    "deadLetters": 3,
    "jobs": {
        "scheduled": 5,
        "queued": 121,
        "running": 20,
        "retrying": 4,
        "succeeded": 18150,
        "failed": 3,
        "cancelled": 0,
    },
    "oldestAgeSeconds": 1.8,
    "workers": [
        {
            "worker": "worker-7f9c",
            "slots": 20,
            "busy": 20,
            "serviceSeconds": 0.11,
            "draining": False,
            "seenAt": "2026-01-31T09:29:58.007Z",
        }
    ],
    "slots": 20,
    "busy": 20,
    "serviceSeconds": 0.11,
    "drainSeconds": 0.7975,
    "circuit": "closed",
    "pausedUntil": None,
}


def add_queue_routes(app: FastAPI, reader: QueueReader, queues: Mapping[str, MessageQueue]) -> None:
    """Add the operations to an app."""

    @app.get(
        "/queues",
        operation_id="listQueues",
        summary="List queues",
        tags=["queues"],
        responses=answers("Every configured queue.", {"queues": [_EXAMPLE]}),
    )
    async def list_queues() -> QueueList:
        """List the configured queues, the default queue first; in a cluster with the JobQueues' own.

        Readings are at most two seconds old.
        """
        shown = tuple(queues.items())  # as of now: queues may be learnt while they are read
        readings = await asyncio.gather(*(reader.read(name) for name, _ in shown))
        return QueueList(
            queues=[
                _view(name, queue, reading) for (name, queue), reading in zip(shown, readings, strict=True)
            ]
        )

    @app.get(
        "/queues/{name}",
        operation_id="getQueue",
        summary="Show a queue",
        tags=["queues"],
        responses=answers("The queue.", _EXAMPLE, Kind.QUEUE_NOT_FOUND),
    )
    async def get_queue(
        name: Annotated[str, Path(description="The queue's name.", examples=["default"])],
    ) -> QueueView:
        """Show one queue. Readings are at most two seconds old."""
        queue = queues.get(name)
        if queue is None:
            detail = f"There is no queue {cut(name)}; there are: {listed(queues)}."
            raise Problem(Kind.QUEUE_NOT_FOUND, detail)
        return _view(name, queue, await reader.read(name))


def _view(name: str, queue: MessageQueue, reading: Reading) -> QueueView:
    return QueueView(
        name=name,
        sqs_name=queue.name,
        fifo=queue.fifo,
        read_at=reading.at,
        messages=None if reading.messages is None else MessagesView.model_validate(reading.messages),
        dead_letters=reading.dead_letters,
        jobs=None if reading.jobs is None else PhasesView.model_validate(reading.jobs),
        oldest_age_seconds=reading.oldest_age_seconds,
        workers=None
        if reading.workers is None
        else [WorkerView.model_validate(worker) for worker in reading.workers],
        slots=reading.slots,
        busy=reading.busy,
        service_seconds=reading.service_seconds,
        drain_seconds=reading.drain_seconds,
        circuit=reading.circuit,
        paused_until=reading.paused_until,
    )
