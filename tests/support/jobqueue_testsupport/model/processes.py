"""The processes of the model: each put together as in production, on ports that are stepped."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from jobqueue_api.bootstrap import Stores, assemble
from jobqueue_api.metrics import ApiMetrics
from jobqueue_core.telemetry.metrics import Metrics
from jobqueue_core.testing.flow import MemoryFlowStore
from jobqueue_core.testing.redrives import MemoryRedriveStore
from jobqueue_core.testing.schedules import MemoryScheduleStore
from jobqueue_testsupport.model.gates import Fault, Gate, Parked
from jobqueue_testsupport.model.ports import SteppedQueue, SteppedStore
from jobqueue_testsupport.model.service import Line
from jobqueue_testsupport.worker_rig import worker_settings
from jobqueue_worker.bootstrap import make_worker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from jobqueue_api.bootstrap import Parts
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.testing.clock import ManualClock
    from jobqueue_core.testing.store import MemoryJobStore
    from jobqueue_testsupport.model.loop import QuietLoop
    from jobqueue_testsupport.model.queue import ModelQueue
    from jobqueue_testsupport.model.service import Service
    from jobqueue_testsupport.model.witness import Witness

VISIBILITY_SECONDS = 20
GRACE_SECONDS = 5
_AHEAD = 4
SETTINGS = worker_settings(
    sqs={"visibility_timeout_seconds": VISIBILITY_SECONDS, "receive_wait_seconds": 20},
    processor={"url": "http://unused.example/jobs", "timeout_seconds": 10},
    worker={"concurrency": 2, "drain_seconds": 8, "heartbeat_seconds": 300},
    # Longer than any move of the clock by itself: nothing happens behind a run's back.
    relay={"poll_seconds": 2, "grace_seconds": GRACE_SECONDS, "lost_after_seconds": 60},
)
QUEUE = SETTINGS.default_queue
# Made once: their registries take longer than a whole run.
_API_METRICS = ApiMetrics()
_WORKER_METRICS = Metrics("worker")


@dataclass(slots=True, kw_only=True)
class Outside:
    """What all processes share."""

    loop: QuietLoop
    clock: ManualClock
    store: MemoryJobStore
    queue: ModelQueue
    service: Service
    witness: Witness
    schedules: MemoryScheduleStore = field(default_factory=MemoryScheduleStore)
    redrives: MemoryRedriveStore = field(default_factory=MemoryRedriveStore)
    flows: MemoryFlowStore = field(default_factory=MemoryFlowStore)


class Process:
    """One incarnation of a process, from its start until it ends or is killed."""

    def __init__(self, name: str, incarnation: int, outside: Outside) -> None:
        """Start it."""
        self.name = name
        self.id = f"{name}.{incarnation}"
        self.outside = outside
        self.tasks: set[asyncio.Task[Any]] = set()
        self.main: asyncio.Task[Any] | None = None
        self.is_stopping = False
        self._tokens = count(1)
        self._gate = Gate(self._seen)
        self.store = cast("JobStore", SteppedStore(outside.store, self._gate))
        self.queue = cast("MessageQueue", SteppedQueue(outside.queue, self._gate, outside.queue.has_visible))
        main = outside.loop.within(self.tasks, self.make)
        if main is not None:
            # As many handlers as few messages need: fifty more make no new order, only a slower one.
            with patch("jobqueue_worker.worker.AHEAD_MAX", _AHEAD):
                self.main = outside.loop.start(self.tasks, main)
                outside.loop.settle()

    def _seen(self, _call: str) -> None:
        witness = self.outside.witness
        with witness.watching():
            witness.saw_jobs(self.outside.store.jobs, self.id)

    def new_token(self) -> str:
        """Return a fencing token; the same steps make the same tokens in every world."""
        return f"{self.id}-{next(self._tokens)}"

    @property
    def known(self) -> tuple[str, ...]:
        """Everything that it was told, which is all that it goes by."""
        return tuple(self._gate.answers)

    def make(self) -> Coroutine[Any, Any, None] | None:
        """Put the parts together; return what the process does by itself."""
        raise NotImplementedError

    @property
    def parked(self) -> list[Parked]:
        """Calls that wait to be let through, the oldest first."""
        return [parked for parked in self._gate.parked if parked.useful()]

    def let(self, parked: Parked, fault: Fault | None = None) -> None:
        """Let a call take its next step, and everything else that follows from it."""
        parked.go.set_result(fault)
        self.outside.loop.settle()

    def kill(self) -> None:
        """End it at once: what waits at the gate never happens."""
        self._gate.cut()
        self.outside.loop.kill(self.tasks)

    @property
    def fault(self) -> str | None:
        """Why it ended by itself, if it did."""
        if self.main is None or not self.main.done() or self.main.cancelled():
            return None
        if self.main.exception() is not None:
            return f"{self.id} failed: {self.main.exception()!r}"
        return None if self.is_stopping else f"{self.id} ended"

    @property
    def has_ended(self) -> bool:
        """Whether it has come to its end."""
        return self.main is not None and self.main.done()


class ApiProcess(Process):
    """Takes submissions and what people do to jobs; its relay runs as a process of its own."""

    parts: Parts

    def make(self) -> None:
        """Assemble it, and have it find its store and its queue."""
        self.parts = _assembled(self)

    def request(self, doing: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Serve a client's request."""
        task = self.outside.loop.start(self.tasks, doing)
        self.outside.loop.settle()
        return task


class RelayProcess(Process):
    """The relay of an API process, by itself."""

    def make(self) -> Coroutine[Any, Any, None]:
        """Assemble it and run its relay."""
        return _assembled(self).relay.run()


class WorkerProcess(Process):
    """A worker."""

    def make(self) -> Coroutine[Any, Any, None]:
        """Make and run it."""
        outside = self.outside
        own = SETTINGS.model_copy(update={"worker": SETTINGS.worker.model_copy(update={"id": self.id})})
        with patch("jobqueue_worker.bootstrap.new_token", self.new_token):
            self._worker = make_worker(
                settings=own,
                queue_settings=own.queue(),
                queue=self.queue,
                store=self.store,
                flows=outside.flows,
                processor=Line(outside.service, self.id),
                metrics=_WORKER_METRICS,
                clock=outside.clock,
            )
        return self._worker.run()

    def stop(self) -> None:
        """Tell it to drain; a second time, to hurry."""
        self.is_stopping = True
        self._worker.stop()
        self.outside.loop.settle()


def _assembled(process: Process) -> Parts:
    outside = process.outside
    parts = assemble(
        SETTINGS,
        stores=Stores(
            jobs=process.store, schedules=outside.schedules, redrives=outside.redrives, flows=outside.flows
        ),
        queues={QUEUE: process.queue},
        clock=outside.clock,
        metrics=_API_METRICS,
        token=process.new_token,
    )
    parts.watch.prepared = True
    for queue in parts.directory.queues.values():
        queue.prepared = True
    return parts


KINDS: dict[str, type[Process]] = {
    "api": ApiProcess,
    "relay1": RelayProcess,
    "relay2": RelayProcess,
    "w1": WorkerProcess,
    "w2": WorkerProcess,
}
