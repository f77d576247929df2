"""Entry point of the worker process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import structlog
import uvloop

from jobqueue_core.adapters.secrets_manager import SecretsManagerReader
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.settings.load import exit_on_settings_error, load_or_exit
from jobqueue_core.settings.queue import drain_seconds
from jobqueue_core.telemetry.logs import configure_logging
from jobqueue_core.telemetry.metrics import Metrics
from jobqueue_worker.bootstrap import opened_worker, processor_target, worker_id
from jobqueue_worker.probes import probes

if TYPE_CHECKING:
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.settings.model import Settings
    from jobqueue_core.settings.queue import QueueSettings
    from jobqueue_worker.caller import ProcessorTarget
    from jobqueue_worker.worker import Worker

_log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0


def main() -> None:
    """Run one worker until SIGTERM or SIGINT; exit code 2 when the settings are wrong."""
    settings = load_or_exit(secrets=SecretsManagerReader())
    queue = settings.queue(settings.worker.queue)
    with exit_on_settings_error():
        target = processor_target(queue, os.environ)
    configure_logging(settings.logging.level, settings.logging.format, "worker")
    sys.exit(uvloop.run(_run(settings, queue, target)))


async def _run(settings: Settings, queue_settings: QueueSettings, target: ProcessorTarget) -> int:
    metrics = Metrics("worker")
    log = _log.bind(worker=worker_id(settings), queue=queue_settings.name)
    drain = drain_seconds(settings.worker.drain_seconds, queue_settings)
    if drain < target.timeout_seconds:
        log.warning(
            "worker.drain_seconds is shorter than processor.timeout_seconds: a stop cuts long calls off",
            drain_seconds=drain,
            timeout_seconds=target.timeout_seconds,
        )
    async with opened_worker(settings, queue_settings, target, metrics) as (worker, queue):
        stopped = asyncio.Event()

        def stop() -> None:
            stopped.set()
            worker.stop()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        async with probes(settings.worker.metrics_port, worker.is_alive, metrics):
            if await _prepared(queue, worker, stopped):
                log.info("worker started", concurrency=queue_settings.concurrency)
                await worker.run()
    log.info("worker ended")
    return 0


async def _prepared(queue: MessageQueue, worker: Worker, stopped: asyncio.Event) -> bool:
    """Find the queue and the time, waiting until there are both; False when told to stop first."""
    wait_seconds = _FIRST_WAIT_SECONDS
    while not stopped.is_set():
        try:
            await queue.prepare()
            await worker.synchronize()
        except JobQueueError as error:
            _log.warning("queue or store not available yet", error=str(error))
        else:
            return True
        try:
            async with asyncio.timeout(wait_seconds):
                await stopped.wait()
        except TimeoutError:
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
    return False


if __name__ == "__main__":
    main()
