"""The whole system on this machine: started together, kept running, ended in order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from jobqueue_cli.embedded import database_plan, queue_plan, sample_plan
from jobqueue_cli.environment import MONGODB_URI, SQS_ENDPOINTS
from jobqueue_cli.errors import CommandError
from jobqueue_cli.plan import program
from jobqueue_cli.ports import accepts
from jobqueue_cli.scaler import QueueScaler
from jobqueue_cli.service import Service, ServicePlan
from jobqueue_core.domain.errors import QueueUnavailableError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_cli.api_client import ApiClient
    from jobqueue_cli.connections import Connections
    from jobqueue_cli.datadir import DataDir
    from jobqueue_cli.plan import UpPlan
    from jobqueue_core.ports.clock import Clock

# Longer than the API needs to finish the requests in hand.
_API_STOP_SECONDS = 20.0
_FAREWELL_SECONDS = 0.5


class System:
    """Database, queue, sample service, API, and a local operator for each queue.

    Args:
        plan: What to start.
        data: The data folder, locked.
        clock: Time and waiting.
        say: Tells people what happens.
    """

    def __init__(self, plan: UpPlan, data: DataDir, *, clock: Clock, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._data = data
        self._clock = clock
        self._say = say
        self._services: list[Service] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._scaling: list[asyncio.Task[None]] = []
        self._connecting = asyncio.Lock()
        self._connections: Connections | None = None
        self._api: Service | None = None
        self._client: ApiClient | None = None
        self.scalers: list[QueueScaler] = []

    @property
    def connections(self) -> Connections:
        """The connections to database and queue, once started."""
        if self._connections is None:
            raise RuntimeError("the system is not started")
        return self._connections

    @property
    def client(self) -> ApiClient:
        """A client of the API."""
        if self._client is None:
            from jobqueue_cli.api_client import ApiClient  # noqa: PLC0415 -- loaded while the servers boot

            self._client = ApiClient(self._plan.url)
        return self._client

    async def start(self) -> None:
        """Start everything side by side, wait until submissions are accepted, then start to scale workers.

        Nothing waits for another's start: each waits by itself for what it needs. The machine is busy
        anyway, most of all with imports.

        Raises:
            CommandError: One of them does not start, or a part that the user brings along does not answer.
        """
        worker = program("jobqueue-worker")
        plans = (*self._embedded(), self._api_plan())
        starting = [asyncio.create_task(self._run(plan)) for plan in plans]
        checking = asyncio.create_task(self._check_own())
        try:
            _, *services = await asyncio.gather(checking, *starting)
        finally:
            for task in (checking, *starting):
                task.cancel()
            await asyncio.gather(checking, *starting, return_exceptions=True)
        self._api = services[-1]
        self._scale([worker])

    async def failure(self) -> None:
        """Wait until something cannot be kept running.

        Raises:
            CommandError: What it is.
        """
        done, _ = await asyncio.wait({*self._keepers, *self._scaling}, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def accepted(self) -> int | None:
        """Return how many jobs the API has accepted; None when it was restarted and has forgotten."""
        if self._api is None or self._api.restarts:
            return None
        return await self.client.accepted()

    async def end_workers(self) -> None:
        """Stop scaling and drain the workers, within their own drain time."""
        for task in self._scaling:
            task.cancel()
        await asyncio.gather(*self._scaling, return_exceptions=True)
        await asyncio.gather(*(scaler.target.close() for scaler in self.scalers))

    async def stop(self) -> None:
        """End everything in order: workers, API, sample service, queue, database.

        Cancelled, it kills at once what is left.
        """
        try:
            await self.end_workers()
            await self._disconnect()
            # The queue writes its state when it is asked to end; the database goes last.
            for service in reversed(self._services):
                await service.stop()
        except asyncio.CancelledError:
            for service in self._services:
                service.kill()
            await asyncio.gather(*(service.stop() for service in self._services))
            raise
        finally:
            for task in self._keepers:
                task.cancel()
            await asyncio.gather(*self._keepers, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                # Where the database was killed, its client would wait for it to say farewell.
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await self._disconnect()

    def _embedded(self) -> list[ServicePlan]:
        """Return what is to be started, in the order opposite to that of the end."""
        ports, plans = self._plan.embedded, []
        if (database := ports.database_port) is not None:
            plans.append(database_plan(database, self._data, lambda: self._database_answers(database)))
        if (queue := ports.queue_port) is not None:
            plans.append(queue_plan(queue, self._data, lambda: self._queue_answers(queue)))
        if (sample := ports.sample_port) is not None:
            timeout = self._plan.settings.processor.timeout_seconds
            plans.append(sample_plan(sample, timeout, self._data, lambda: _accepts(sample)))
        return plans

    def _api_plan(self) -> ServicePlan:
        return ServicePlan(
            name="api",
            command=[program("jobqueue-api")],
            env=self._plan.env,
            log=self._data.log("api"),
            is_ready=self._api_is_ready,
            stop_seconds=_API_STOP_SECONDS,
        )

    async def _run(self, plan: ServicePlan) -> Service:
        service = Service(plan, self._clock, self._say)
        self._services.append(service)
        await service.start()
        self._keepers.append(asyncio.create_task(service.keep()))
        return service

    def _scale(self, worker: list[str]) -> None:
        connections = self.connections
        for name, queue in connections.queues.items():
            scaler = QueueScaler(
                name,
                settings=self._plan.settings,
                command=worker,
                env={"JOBQUEUE_WORKER__METRICS_PORT": "0", **self._plan.env},
                logs=self._data.logs,
                queue=queue,
                store=connections.store,
                flows=connections.flows,
                clock=self._clock,
                say=self._say,
            )
            self.scalers.append(scaler)
            self._scaling.append(asyncio.create_task(scaler.run()))

    async def _database_answers(self, port: int) -> bool:
        return await _accepts(port) and await (await self._connect()).database_answers()

    async def _queue_answers(self, port: int) -> bool:
        return await _accepts(port) and await (await self._connect()).queue_answers()

    async def _api_is_ready(self) -> bool:
        return await self.client.is_ready()

    async def _connect(self) -> Connections:
        async with self._connecting:
            if self._connections is None:
                from jobqueue_cli.connections import connect  # noqa: PLC0415 -- loaded while the servers boot

                self._connections = await connect(self._plan.settings, self._plan.env)
            return self._connections

    async def _disconnect(self) -> None:
        if self._client is not None:
            await self._client.close()
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.close()

    async def _check_own(self) -> None:
        """Ask the parts that the user brings along.

        Raises:
            CommandError: One does not answer.
        """
        ports, connections = self._plan.embedded, await self._connect()
        try:
            if ports.database_port is None:
                await connections.store.ping()
            if ports.queue_port is None:
                for queue in connections.queues.values():
                    await queue.prepare()
        except StoreUnavailableError as error:
            # The driver's own words fill a screen.
            why = type(error.__cause__ or error).__name__
            raise CommandError(f"the database that {MONGODB_URI} names does not answer: {why}") from error
        except QueueUnavailableError as error:
            raise CommandError(f"the SQS that {' or '.join(SQS_ENDPOINTS)} names: {error}") from error


async def _accepts(port: int) -> bool:
    return accepts(port)
