"""The plans of the self-test: each the shortest way to where one protection is all there is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from jobqueue_chaos.mix import JobSpec
from jobqueue_chaos.plan import Arm, Role
from jobqueue_chaos.processes import Start

if TYPE_CHECKING:
    from jobqueue_chaos.processes import Slot
    from jobqueue_chaos.world import World

_WAIT_SECONDS = 40.0
_JOBS = 8


def _specs(runs: tuple[str, ...], count: int = _JOBS, *, timeout: float = 20.0) -> list[JobSpec]:
    return [
        JobSpec(key=f"self-{n}", kind="self", runs=(runs,), timeout_seconds=timeout, max_attempts=3)
        for n in range(count)
    ]


async def _submit(world: World, specs: list[JobSpec]) -> None:
    await asyncio.gather(*(world.client.submit(spec) for spec in specs))


async def submitted(world: World) -> None:
    """Jobs come in and are done, nothing more."""
    await world.begin()
    await _submit(world, _specs(("ok",)))
    await asyncio.sleep(1)


async def killed_after_the_answer(world: World) -> None:
    """The API dies as soon as it has answered."""
    await world.begin()
    api = world.slots["api-0"]
    generation = api.generation
    await _submit(world, _specs(("ok",)))
    api.kill()
    await api.gone(generation)


async def frozen_in_mid_call(world: World) -> None:
    """A worker stands still until another one runs its job, and then has an answer of its own to record."""
    await world.begin()
    await _submit(world, _specs(("ok:0.5", "ok:4"), 1))
    await world.witness.until(lambda: len(world.witness.calls) == 1, _WAIT_SECONDS)
    document = await world.jobs.find_one({"lease.owner": {"$ne": None}})
    owner = None if document is None else document["lease"]["owner"]
    frozen = next(slot for slot in world.of_role(Role.WORKER) if slot.running == owner)
    frozen.freeze()
    await world.witness.until(lambda: len(world.witness.calls) == 2, _WAIT_SECONDS)
    frozen.thaw()
    await asyncio.sleep(2)


async def killed_before_the_record(world: World) -> None:
    """A worker dies when the service has refused a job, before it could write that down."""
    worker = world.slots["worker-0"]
    worker.start = Start(Arm("worker.before_record", 1))
    await world.begin()
    generation = worker.generation
    worker.start = Start()
    # Refused once; the attempt after the death is taken.
    await _submit(world, _specs(("400", "ok"), 1))
    await world.witness.until(lambda: len(world.witness.calls) == 1, _WAIT_SECONDS)
    await worker.gone(generation)


async def longer_than_the_lease(world: World) -> None:
    """Jobs take longer than their leases while nothing is wrong with anybody."""
    await world.begin()
    await _submit(world, _specs(("ok:8",), 4))
    await world.witness.until(lambda: len(world.witness.calls) == 4, _WAIT_SECONDS)
    await asyncio.sleep(7)


async def delivered_again(world: World) -> None:
    """Messages come twice, each time with a new receipt."""
    await world.begin()
    await _submit(world, _specs(("500", "ok")))
    await world.witness.until(lambda: len(world.witness.calls) == 2 * _JOBS, _WAIT_SECONDS)


async def relay_stands_still(world: World) -> None:
    """A relay stands still between look and write; meanwhile another one sends and the job is done."""
    slow, other = world.slots["api-0"], world.slots["api-1"]
    worker = world.slots["worker-0"]
    slow.start = Start(Arm("relay.before_claim", 1, "stop"))
    for slot in (slow, worker):
        slot.begin()
    await asyncio.gather(slow.ready(_WAIT_SECONDS), worker.ready(_WAIT_SECONDS))
    # A job for later is the relay's alone to send.
    await _submit(world, [replace(spec, delay_seconds=0.5) for spec in _specs(("ok",), 1)])
    await _standing(slow)
    other.begin()
    await world.witness.until(lambda: len(world.witness.calls) == 1, _WAIT_SECONDS)
    await _final(world, 1)
    slow.thaw()
    await asyncio.sleep(2)


async def _standing(slot: Slot) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while not slot.is_standing:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.05)


async def _final(world: World, count: int) -> None:
    async with asyncio.timeout(_WAIT_SECONDS):
        while world.watcher.finals < count:  # noqa: ASYNC110 - the store's stream tells
            await asyncio.sleep(0.05)
