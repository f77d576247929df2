"""The local operator of one queue: its worker processes, and what wakes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobqueue_cli.observer import WAKE_SECONDS, QueueObserver
from jobqueue_core.settings.queue import drain_seconds
from jobqueue_operator.local import LocalOperator
from jobqueue_operator.scaling import (
    BacklogPerReplica,
    DrainSeconds,
    Fallback,
    Hold,
    ScaleDown,
    ScaleUp,
    ScalingSpec,
)
from jobqueue_operator.targets.processes import ProcessTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.settings.model import Settings
    from jobqueue_core.settings.service_sections import ScalingSettings
    from jobqueue_operator.scaling import Decision
    from jobqueue_operator.targets.worker_process import WorkerExit

_ID_VARIABLE = "JOBQUEUE_WORKER__ID"
_QUEUE_VARIABLE = "JOBQUEUE_WORKER__QUEUE"
# Between the end of a worker's own drain time and SIGKILL: it has to hand back what it has not finished.
_HAND_BACK_SECONDS = 10.0


def scaling_spec(scaling: ScalingSettings, concurrency: int) -> ScalingSpec:
    """Return what the policy is asked for, from the settings."""
    target = scaling.target
    return ScalingSpec(
        target=BacklogPerReplica(target.backlog_per_replica)
        if target.backlog_per_replica is not None
        else DrainSeconds(target.drain_seconds or 0.0),  # the settings have exactly one of the two
        max_replicas=scaling.max_replicas,
        min_replicas=scaling.min_replicas,
        concurrency=concurrency,
        scale_up=ScaleUp(scaling.scale_up.max_factor),
        scale_down=ScaleDown(scaling.scale_down.stabilization_seconds, scaling.scale_down.protect_busy),
        zero_after_seconds=scaling.zero_after_seconds,
        on_unknown=Hold() if scaling.on_unknown.replicas is None else Fallback(scaling.on_unknown.replicas),
    )


class QueueScaler:
    """Scales the workers of one queue on this machine.

    Args:
        name: The queue.
        settings: All settings.
        command: Program and arguments of a worker.
        env: Environment of the workers.
        logs: Folder of their logs.
        queue: The queue in SQS.
        store: The job store.
        flows: What the workers know of the external service.
        clock: Time and waiting.
        say: Tells people of every change.
    """

    def __init__(  # noqa: PLR0913 -- wiring, all but the first by keyword
        self,
        name: str,
        *,
        settings: Settings,
        command: Sequence[str],
        env: Mapping[str, str],
        logs: Path,
        queue: MessageQueue,
        store: JobStore,
        flows: FlowStore,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self.name = name
        self.queue = queue
        self.concurrency = settings.queue(name).concurrency
        self._say = say
        self._clock = clock
        worker = settings.worker
        self.heartbeat_seconds = worker.heartbeat_seconds
        self._observer = QueueObserver(
            name,
            queue=queue,
            store=store,
            flows=flows,
            clock=clock,
            heartbeat_seconds=worker.heartbeat_seconds,
            max_attempts=settings.queue(name).retry.max_attempts,
        )
        self.tally = self._observer.tally
        is_default = name == settings.default_queue
        self.target = ProcessTarget(
            command,
            env={**env, _QUEUE_VARIABLE: name},
            id_variable=_ID_VARIABLE,
            clock=clock,
            name="worker" if is_default else f"worker-{name}",
            grace_seconds=drain_seconds(worker.drain_seconds, settings.queue(name)) + _HAND_BACK_SECONDS,
            log_dir=logs,
            on_exit=self._tell_of_death,
        )
        self.operator = LocalOperator(
            scaling_spec(settings.scaling, self.concurrency),
            self._observer,
            self.target,
            clock=clock,
            poll_seconds=settings.scaling.poll_seconds,
            on_decision=self._tell,
        )

    async def run(self) -> None:
        """Scale until cancelled; `close` ends the workers."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.operator.run())
            tasks.create_task(self._wake())

    async def read_heartbeats(self) -> None:
        """Bring `tally` up to date.

        Raises:
            StoreUnavailableError: The heartbeats cannot be read.
        """
        await self._observer.read_heartbeats()

    async def _wake(self) -> None:
        """From zero, do not wait for the poll."""
        while True:
            replicas = await self.target.current()
            if replicas.desired == 0:
                await self._observer.wait_for_work()
                self.operator.wake()
            await self._clock.sleep(WAKE_SECONDS)

    def _tell(self, decision: Decision) -> None:
        if decision.changed:
            self._say(f"workers of {self.name}: {decision.message}")

    def _tell_of_death(self, ended: WorkerExit) -> None:
        if not ended.asked:
            self._say(f"{ended.id} ended unasked (exit code {ended.returncode})")
