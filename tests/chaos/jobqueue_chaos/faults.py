"""Carries out the faults of a plan."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

from jobqueue_chaos.plan import Fault, Kind, Role
from jobqueue_chaos.profile import VISIBILITY_SECONDS
from jobqueue_chaos.tcp_proxy import Mode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobqueue_chaos.world import World

_READY_SECONDS = 20.0
_SQS_MODES = {
    Kind.SQS_HUNG: Mode.HUNG,
    Kind.SQS_REFUSING: Mode.REFUSING,
    Kind.SQS_FAILING: Mode.FAILING,
    Kind.SQS_SLOW: Mode.SLOW,
}
_MONGO_MODES = {
    Kind.MONGO_HUNG: Mode.HUNG,
    Kind.MONGO_REFUSING: Mode.REFUSING,
    Kind.MONGO_SLOW: Mode.SLOW,
}


class Faults:
    """What can be done to a world.

    Attributes:
        not_run: faults that this machine cannot have, and why.

    """

    def __init__(self, world: World, seed: int) -> None:
        """Take the world."""
        self.not_run: dict[Kind, str] = {}
        self._world = world
        self._source = random.Random(f"{seed} victims")

    async def carry_out(self, fault: Fault) -> None:
        """Pause, begin the fault, end it, and wait until calls are made again."""
        await asyncio.sleep(fault.pause_seconds)
        if fault.kind is Kind.DISK_FULL and self._world.servers.disk.why_not is not None:
            self.not_run[fault.kind] = self._world.servers.disk.why_not
            return
        async with self._world.trouble(fault.kind.value):
            await self._way(fault.kind)(fault)

    def _way(self, kind: Kind) -> Callable[[Fault], Awaitable[None]]:
        if kind in _SQS_MODES:
            return self._sqs
        if kind in _MONGO_MODES:
            return self._mongo
        return {
            Kind.SQS_STOPPED: self._sqs_stopped,
            Kind.MONGO_STOPPED: self._mongo_stopped,
            Kind.DISK_FULL: self._disk_full,
            Kind.FROZEN: self._frozen,
            Kind.ROLLING: self._rolling,
        }[kind]

    async def _sqs(self, fault: Fault) -> None:
        self._world.sqs.set_mode(_SQS_MODES[fault.kind])
        await asyncio.sleep(fault.seconds)
        self._world.sqs.set_mode(Mode.OPEN)

    async def _mongo(self, fault: Fault) -> None:
        self._world.mongo.set_mode(_MONGO_MODES[fault.kind])
        await asyncio.sleep(fault.seconds)
        self._world.mongo.set_mode(Mode.OPEN)

    async def _sqs_stopped(self, fault: Fault) -> None:
        await self._world.kill_sqs()
        await asyncio.sleep(fault.seconds)
        await self._world.start_sqs()

    async def _mongo_stopped(self, fault: Fault) -> None:
        await asyncio.to_thread(self._world.servers.mongo.kill)
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(self._world.servers.mongo.start)

    async def _disk_full(self, fault: Fault) -> None:
        disk, mongo = self._world.servers.disk, self._world.servers.mongo
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(fault.seconds)
        # A database that has panicked for want of space is ended and started again by whoever runs it.
        await asyncio.to_thread(mongo.kill)
        await asyncio.to_thread(disk.free)
        await asyncio.to_thread(mongo.start)

    async def _frozen(self, _fault: Fault) -> None:
        slot = self._source.choice(self._world.of_role(Role.WORKER))
        slot.freeze()
        await asyncio.sleep(VISIBILITY_SECONDS + 3)
        slot.thaw()

    async def _rolling(self, _fault: Fault) -> None:
        for slot in self._world.slots.values():
            await slot.stop_once()
            with suppress(TimeoutError):
                await slot.ready(_READY_SECONDS)
