"""One run: servers, proxies, the external service, the processes, and what is found out about them."""

from __future__ import annotations

import asyncio
import math
import os
import random
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobqueue_chaos.client import Client
from jobqueue_chaos.environment import product_environment
from jobqueue_chaos.facts import Death, Facts, Trouble
from jobqueue_chaos.plan import Role
from jobqueue_chaos.processes import Slot
from jobqueue_chaos.profile import ORDERED
from jobqueue_chaos.servers import Servers
from jobqueue_chaos.sqs_proxy import Odds, SqsProxy
from jobqueue_chaos.tcp_proxy import Mode, TcpProxy
from jobqueue_chaos.watcher import FinalStates, Watcher
from jobqueue_chaos.witness import Witness
from jobqueue_testsupport.server import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_DATABASE = "chaos"
_POLL_SECONDS = 0.2
_SELDOM_SECONDS = 3.0
_FEW = 100
_START_SECONDS = 60.0
_RECOVERY_SECONDS = 15.0
_SETTLED_READINGS = 3


class World:
    """Everything of a run.

    Attributes:
        slots: the processes, by name.
        deaths: how processes ended so far.
        troubles: faults carried out so far.

    """

    def __init__(
        self, folder: Path, seed: int, *, jobs: int, max_receive_count: int, env: Mapping[str, str]
    ) -> None:
        """Keep everything below a folder; nothing is started yet."""
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.seed = seed
        self.max_receive_count = max_receive_count
        self.servers = Servers(folder, jobs)
        self._env = env
        self.witness = Witness()
        self.deaths: list[Death] = []
        self.troubles: list[Trouble] = []
        self.slots: dict[str, Slot] = {}
        self.states = FinalStates(lambda job_id: self.witness.runs.get(job_id, 0))
        self.letters_before: Counter[str] = Counter()
        self._exit = AsyncExitStack()
        self._api_ports: dict[str, int] = {}

    async def open(self, *, apis: int, workers: int, ordered: int) -> None:
        """Start the servers and what stands between; make the slots, in which nothing runs yet."""
        self._exit.push_async_callback(self.servers.close)
        await self.servers.open()
        await self.servers.make_queues(self.max_receive_count)
        source = random.Random(f"{self.seed} proxies")
        self.mongo = await self._exit.enter_async_context(TcpProxy(self.servers.mongo.port, source))
        self.sqs = await self._exit.enter_async_context(SqsProxy(self.servers.sqs.url, source))
        await self._exit.enter_async_context(self.witness)
        env = product_environment(
            self.folder,
            mongo_port=self.mongo.port,
            database=_DATABASE,
            sqs_url=self.sqs.url,
            processor_url=self.witness.url,
            max_receive_count=self.max_receive_count,
        )
        self._env = {**env, **self._env}
        for number in range(apis):
            port = self._api_ports[f"api-{number}"] = free_port()
            self._add(f"api-{number}", Role.API, JOBQUEUE_API__PORT=str(port))
        for number in range(workers):
            self._add(f"worker-{number}", Role.WORKER)
        for number in range(ordered):
            self._add(f"ordered-{number}", Role.WORKER, JOBQUEUE_WORKER__QUEUE=ORDERED)
        self._exit.push_async_callback(self._end_slots)
        self.jobs = self.servers.jobs(_DATABASE)
        self.watcher = await self._exit.enter_async_context(Watcher(self.jobs, self.states))
        self.client = await self._exit.enter_async_context(
            Client(list(self._api_ports.values()), self.witness, self.seed)
        )

    def _add(self, name: str, role: Role, **env: str) -> None:
        self.slots[name] = Slot(name, role, {**self._env, **env}, self.logs, self.deaths)

    async def _end_slots(self) -> None:
        await asyncio.gather(*(slot.end() for slot in self.slots.values()))

    async def close(self) -> None:
        """Leave nothing."""
        await self._exit.aclose()

    def of_role(self, role: Role) -> list[Slot]:
        """Return the slots of a role."""
        return [slot for slot in self.slots.values() if slot.role is role]

    async def begin(self) -> None:
        """Start every process and return when all of them work.

        Raises:
            TimeoutError: one does not; the text is the end of its log.
            RuntimeError: they talk past a proxy, whose faults would be none.

        """
        for slot in self.slots.values():
            slot.begin()
        await asyncio.gather(*(slot.ready(_START_SECONDS) for slot in self.slots.values()))
        if not self.mongo.connections or not self.sqs.traffic.requests:
            raise RuntimeError("the processes talk past a proxy")

    def calm(self) -> None:
        """End every fault of the proxies."""
        self.mongo.lose_answers = 0.0
        self.sqs.odds = Odds()
        self.mongo.set_mode(Mode.OPEN)
        self.sqs.set_mode(Mode.OPEN)

    async def kill_sqs(self) -> None:
        """`kill -9`: the embedded queue loses what it holds, letters included, which are put down first."""
        self.letters_before.update(self.sqs.traffic.letters)
        self.sqs.traffic.letters.clear()
        await asyncio.to_thread(self.servers.sqs.kill)

    async def start_sqs(self) -> None:
        """Start it again and make its queues, as infrastructure would."""
        await asyncio.to_thread(self.servers.sqs.start)
        await self.servers.make_queues(self.max_receive_count)

    async def settled(self, seconds: float) -> bool:
        """Wait until every job is final, paid and gone from the queues.

        False when so many seconds have passed without the fewest unfinished jobs yet.
        """
        readings, fewest = 0, math.inf
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            unfinished = await self.jobs.count_documents({"status": "PENDING"})
            if unfinished < fewest:
                # Those of the schedule come and go: only less than ever is progress.
                fewest, deadline = unfinished, time.monotonic() + seconds
            readings = readings + 1 if unfinished == 0 and await self._is_paid() else 0
            if readings >= _SETTLED_READINGS:
                return True
            # A count costs the embedded database as much as ten jobs: seldom while there are many.
            await asyncio.sleep(_POLL_SECONDS if unfinished < _FEW else _SELDOM_SECONDS)
        return False

    async def _is_paid(self) -> bool:
        if await self.jobs.count_documents({"status": "FAILED", "dueAt": {"$exists": True}}):
            return False
        return not any((await self.servers.left()).values())

    def progress(self) -> str:
        """Return how far the load is."""
        accepted = sum(1 for job in self.client.submitted.values() if job.job_id is not None)
        return f"{accepted} accepted, {self.watcher.finals} final, {len(self.witness.calls)} calls"

    def mishaps(self) -> dict[str, int]:
        """Return what the proxies have done to single requests so far."""
        traffic = self.sqs.traffic
        return {
            "messages sent twice by SQS": traffic.repeated,
            "answers of SQS lost": traffic.lost_answers,
            "entries refused by SQS": traffic.refused_entries,
            "receives put in another order": traffic.reordered,
            "answers of MongoDB lost": self.mongo.lost_answers,
        }

    async def concluded(self, seconds: float) -> Facts:
        """End the faults, wait for the end of every job, bounded, and find out everything."""
        self.calm()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.client.finished()
        await self.settled(seconds)
        return await self.facts()

    async def facts(self) -> Facts:
        """Find out everything; the processes are ended first, the queues emptied."""
        await asyncio.gather(*(slot.end(gently=True) for slot in self.slots.values()))
        await self.watcher.catch_up()
        letters: Counter[str] = Counter()
        strange: list[str] = []
        left = await self.servers.left()
        for job_id, text in await self.servers.letters():
            if job_id is None:
                strange.append(text)
            else:
                letters[job_id] += 1
        return Facts(
            submitted=self.client.submitted,
            documents={document["_id"]: document async for document in self.jobs.find({})},
            calls=self.witness.calls,
            rewritten=self.states.rewritten,
            final_writes=self.states.final_writes,
            letters=letters,
            letters_before=self.letters_before,
            strange_letters=strange,
            strangers=self.sqs.traffic.strangers,
            buried=self.sqs.traffic.buried,
            left=left,
            sends=self.sqs.traffic.sends,
            deaths=self.deaths,
            troubles=self.troubles,
        )

    @asynccontextmanager
    async def trouble(self, kind: str) -> AsyncIterator[None]:
        """Put down a fault that lasts as long as the block; its recovery is measured after it."""
        began, began_wall = time.monotonic(), datetime.now(UTC)
        yield
        ended, ended_wall = time.monotonic(), datetime.now(UTC)
        recovery: float | None = None
        try:
            await self.witness.until(lambda: self._called_since(ended), _RECOVERY_SECONDS)
            recovery = self.witness.calls[-1].started - ended
        except TimeoutError:
            pass
        self.troubles.append(Trouble(kind, began, ended, began_wall, ended_wall, recovery))

    def _called_since(self, moment: float) -> bool:
        return bool(self.witness.calls) and self.witness.calls[-1].started > moment


@asynccontextmanager
async def opened_world(
    seed: int,
    *,
    jobs: int,
    apis: int = 2,
    workers: int = 3,
    ordered: int = 1,
    max_receive_count: int = 100,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[World]:
    """Give a fresh world; afterwards nothing of it is left, neither process nor mount nor file."""
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with tempfile.TemporaryDirectory(prefix="jobqueue-chaos-", ignore_cleanup_errors=True) as name:
        world = World(Path(name), seed, jobs=jobs, max_receive_count=max_receive_count, env=env or {})
        try:
            await world.open(apis=apis, workers=workers, ordered=ordered)
            yield world
        finally:
            await world.close()
