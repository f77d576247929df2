"""Entry point of the operator process."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import kopf
import structlog
import uvloop

from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_core.adapters.secrets_manager import SecretsManagerReader
from jobqueue_core.settings.load import load_or_exit
from jobqueue_core.telemetry.logs import configure_logging
from jobqueue_operator.bootstrap import Operator, opened
from jobqueue_operator.handlers import kopf_settings, registry_of
from jobqueue_operator.metrics import OperatorMetrics
from jobqueue_operator.probes import probes

if TYPE_CHECKING:
    from jobqueue_core.settings.model import Settings

_log = structlog.get_logger(__name__)

_SETTLE_SECONDS = 60.0


def main() -> None:
    """Run the operator until SIGTERM or SIGINT.

    Exit code 2 when the settings are wrong, 1 when the leadership is lost: whoever keeps the process
    alive starts it anew, and it waits for its turn.
    """
    settings = load_or_exit(secrets=SecretsManagerReader())
    configure_logging(settings.logging.level, settings.logging.format, "operator")
    try:
        sys.exit(uvloop.run(_run(settings)))
    except KubeError as error:
        print(f"jobqueue-operator: {error}", file=sys.stderr)  # noqa: T201 -- before there is anything to log
        sys.exit(2)


async def _run(settings: Settings) -> int:
    metrics = OperatorMetrics()
    stopped = asyncio.Event()
    _stop_on_signals(stopped)
    async with opened(settings, metrics) as operator:
        fleet, leadership = operator.fleet, operator.leadership
        port = settings.operator.metrics_port
        async with probes(port, stuck=fleet.stuck, leading=lambda: leadership.held, metrics=metrics):
            if await _first(stopped, leadership.acquire()):
                return 0
            metrics.leading.set(1)
            return await _lead(settings, operator, stopped)


async def _lead(settings: Settings, operator: Operator, stopped: asyncio.Event) -> int:
    """Watch and act while the Lease is held; return the exit code."""
    if await _first(stopped, operator.expect_all()):
        return 0
    settling = asyncio.create_task(_settle(operator))
    stop_kopf, ready = asyncio.Event(), asyncio.Event()
    namespaces = settings.operator.namespaces
    watching = asyncio.create_task(
        kopf.operator(
            registry=registry_of(operator.fleet),
            settings=kopf_settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            stop_flag=stop_kopf,
            ready_flag=ready,
        )
    )
    taking = asyncio.create_task(_take_signals_back(ready, stopped))
    keeping = asyncio.create_task(operator.leadership.keep())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({watching, keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
    # kopf ends without an error on a signal only.
    asked = stopped.is_set() or (watching.done() and watching.exception() is None)
    if watching.done() and not asked:
        _log.error("the watch ended", error=str(watching.exception()))
    # No controller acts any more before the Lease goes to another, which need not wait for the watches.
    await operator.fleet.close()
    await operator.leadership.release()
    stop_kopf.set()
    for task in (keeping, stopping, settling, taking):
        task.cancel()
    await asyncio.gather(keeping, stopping, settling, taking, watching, return_exceptions=True)
    return 0 if asked else 1


def _stop_on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)


async def _take_signals_back(ready: asyncio.Event, stopped: asyncio.Event) -> None:
    """Kopf takes the signals for itself when it starts; its way out takes seconds, with the Lease held."""
    await ready.wait()
    _stop_on_signals(stopped)


async def _settle(operator: Operator) -> None:
    """Once the watches have told of all there is, what they have not told of is not there."""
    await asyncio.sleep(_SETTLE_SECONDS)
    operator.fleet.settle()


async def _first(stopped: asyncio.Event, acquiring: object) -> bool:
    """Wait for the leadership; tell whether the process was stopped before."""
    take = asyncio.ensure_future(acquiring)  # type: ignore[call-overload]
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait({take, stop}, return_when=asyncio.FIRST_COMPLETED)
    for task in (take, stop):
        task.cancel()
    await asyncio.gather(take, stop, return_exceptions=True)
    return stopped.is_set()


if __name__ == "__main__":
    main()
