"""The promised times, each measured by a scenario of its own on the real processes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from jobqueue_chaos.account import account
from jobqueue_chaos.figures import Figure, Measured
from jobqueue_chaos.mix import JobSpec, make_mix
from jobqueue_chaos.plan import Kind, Role
from jobqueue_chaos.profile import DRAIN_SECONDS, VISIBILITY_SECONDS
from jobqueue_chaos.report import keep_evidence
from jobqueue_chaos.tcp_proxy import Mode
from jobqueue_chaos.world import World, opened_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_chaos.facts import Facts
    from jobqueue_chaos.processes import Slot

    Tell = Callable[[str], None]

_PATIENCE_SECONDS = 60.0
_REPAIR_SLACK_SECONDS = 5.0
_RELEASE_MOST_SECONDS = 2.0
_RELAY_MOST_SECONDS = 15.0
_HELD_SECONDS = 30.0
_DRAINS = "JOBQUEUE_WORKER__DRAIN_SECONDS"
# As they are shipped: the figure is what users get.
_SHIPPED_RELAY = {
    "JOBQUEUE_RELAY__GRACE_SECONDS": "5",
    "JOBQUEUE_RELAY__POLL_SECONDS": "1",
    "JOBQUEUE_RELAY__LOST_AFTER_SECONDS": "60",
}
_SHIPPED_RETRY = {"JOBQUEUE_RETRY__MAX_ATTEMPTS": "3"}
_SHIPPED_RECEIVES = 10


async def _measured(
    world: World,
    name: str,
    began: float,
    figures: Callable[[Facts], list[Figure]],
    notes: tuple[str, ...] = (),
) -> Measured:
    facts = await world.concluded(_PATIENCE_SECONDS)
    verdict = account(facts)
    found = tuple(figures(facts))
    is_clean = verdict.is_clean and all(figure.is_met for figure in found)
    return Measured(
        name=name,
        figures=found,
        account=verdict,
        seconds=time.monotonic() - began,
        evidence=None if is_clean else keep_evidence(world.seed, facts, verdict, world.logs),
        notes=notes,
    )


async def repair(seed: int, tell: Tell, *, rounds: int = 5) -> Measured:
    """Measure from the death of a worker, and from a graceful stop, to the next call of what it ran."""
    began = time.monotonic()
    # Jobs are held until after the worker is gone; the other one has slots for all of them.
    env = {"JOBQUEUE_WORKER__CONCURRENCY": "20", _DRAINS: "1"}
    killed: list[float] = []
    stopped: list[float] = []
    async with opened_world(seed, jobs=1000, workers=2, ordered=0, env=env) as world:
        await world.begin()
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            killed += await _taken_over(world, f"{seed}-killed-{number}", gently=False)
            stopped += await _taken_over(world, f"{seed}-stopped-{number}", gently=True)

        def figures(_facts: Facts) -> list[Figure]:
            most = VISIBILITY_SECONDS + _REPAIR_SLACK_SECONDS
            return [
                Figure("kill -9 in mid-call, to the next call", max(killed), most, "s"),
                Figure(
                    "graceful stop, end of its drain to the next call",
                    max(stopped),
                    _RELEASE_MOST_SECONDS,
                    "s",
                ),
            ]

        note = f"visibility time-out {VISIBILITY_SECONDS} s; {len(killed)} and {len(stopped)} calls cut off"
        return await _measured(world, "Repair", began, figures, (note,))


async def _taken_over(world: World, prefix: str, *, gently: bool) -> list[float]:
    """Cut a worker off in mid-call; return for each of its calls the seconds to the next one of that job."""
    specs = [
        JobSpec(key=f"{prefix}-{n}", kind="held", runs=((f"ok:{_HELD_SECONDS}", "ok"),), timeout_seconds=60)
        for n in range(8)
    ]
    first = len(world.witness.calls)
    jobs = await asyncio.gather(*(world.client.submit(spec) for spec in specs))
    await world.witness.until(lambda: len(world.witness.calls) >= first + len(specs), 30)
    victim = await _busiest(world)
    owned = {job["_id"] async for job in world.jobs.find({"lease.owner": victim.running}, {"_id": 1})}
    at = time.monotonic()
    if gently:
        await victim.stop_once()
        # The drain is given to what runs; what is measured begins when it is over.
        at += 1.0
    else:
        victim.kill()
    again: dict[str, float] = {}

    def is_taken_over() -> bool:
        for call in world.witness.calls[first:]:
            if call.attempt > 1 and call.job_id in owned:
                again.setdefault(call.job_id, call.started)
        return len(again) == len(owned)

    await world.witness.until(is_taken_over, 60)
    rest = {job.job_id for job in jobs} - owned
    await victim.ready(_HELD_SECONDS)
    # What the other worker holds is let go, too, so that the next round begins with free slots.
    for slot in world.of_role(Role.WORKER):
        if rest and slot is not victim:
            await slot.stop_once()
            await slot.ready(_HELD_SECONDS)
    return [started - at for started in again.values()]


async def _busiest(world: World) -> Slot:
    counted = [
        (await world.jobs.count_documents({"status": "PENDING", "lease.owner": slot.running}), slot.name)
        for slot in world.of_role(Role.WORKER)
    ]
    return world.slots[max(counted)[1]]


async def relay(seed: int, tell: Tell, *, jobs: int = 5000, outage_seconds: float = 60.0) -> Measured:
    """Measure how soon everything is sent that was accepted while SQS was away, and how often."""
    began = time.monotonic()
    specs = make_mix(seed, jobs, ("quick",))
    async with opened_world(seed, jobs=jobs, ordered=0, env=_SHIPPED_RELAY) as world:
        await world.begin()
        async with world.trouble(Kind.SQS_REFUSING.value):
            world.sqs.set_mode(Mode.REFUSING)
            until = time.monotonic() + outage_seconds
            tell(f"SQS is away for {outage_seconds:g} s, {jobs} jobs come meanwhile")
            await world.client.submit_all(specs, jobs / outage_seconds * 1.2)
            late = time.monotonic() - until
            await asyncio.sleep(max(0.0, -late))
            world.sqs.set_mode(Mode.OPEN)
            back = time.monotonic()
        tell("SQS is back")
        wanted = {job.job_id or "" for job in world.client.submitted.values()}
        deadline = back + _PATIENCE_SECONDS
        sends = world.sqs.traffic.sends
        while wanted - sends.keys() and time.monotonic() < deadline:  # noqa: ASYNC110 - the proxy counts
            await asyncio.sleep(0.05)

        def figures(facts: Facts) -> list[Figure]:
            sent = [world.sqs.traffic.first_send[one] - back for one in wanted if one in facts.sends]
            return [
                Figure("SQS back, to the last job sent", max(sent, default=0.0), _RELAY_MOST_SECONDS, "s"),
                Figure("jobs not sent", len(wanted - facts.sends.keys()), 0),
                Figure("jobs sent more than once", len([one for one in wanted if facts.sends[one] > 1]), 0),
            ]

        note = (
            f"{len(wanted)} jobs accepted during {max(outage_seconds, outage_seconds + late):.0f} s of outage"
        )
        return await _measured(world, "Relay after an outage of SQS", began, figures, (note,))


async def rolling(seed: int, tell: Tell, *, restarts: int = 50) -> Measured:
    """Restart the workers in turn under a load of healthy jobs; none of these may fail."""
    began = time.monotonic()
    async with opened_world(
        seed, jobs=2000, ordered=0, max_receive_count=_SHIPPED_RECEIVES, env=_SHIPPED_RETRY
    ) as world:
        await world.begin()
        over = asyncio.Event()
        load = asyncio.create_task(_healthy_load(world, seed, over))
        ends: list[float] = []
        workers = world.of_role(Role.WORKER)
        for number in range(restarts):
            slot = workers[number % len(workers)]
            ends.append(await slot.stop_once())
            await slot.ready(60)
            if number % 10 == 9:
                tell(f"{number + 1} restarts, {world.progress()}")
        over.set()
        await load

        def figures(facts: Facts) -> list[Figure]:
            documents = facts.documents.values()
            failed = {one["_id"] for one in documents if one["status"] == "FAILED"}
            lost = sum(1 for one in documents for entry in one["history"] if entry["outcome"] == "lost")
            return [
                Figure("healthy jobs FAILED", len(failed), 0),
                Figure("healthy jobs in the dead-letter queue", len(facts.letters), 0),
                Figure("attempts lost", lost, 0),
                Figure("longest end of a worker", max(ends), DRAIN_SECONDS + 6, "s"),
            ]

        note = f"{restarts} restarts, {len(world.client.submitted)} jobs"
        return await _measured(world, f"{restarts} rolling restarts of the workers", began, figures, (note,))


async def _healthy_load(world: World, seed: int, over: asyncio.Event) -> None:
    specs = iter(make_mix(seed, 100_000, ("quick", "slow")))
    while not over.is_set():
        await world.client.submit(next(specs))
        await asyncio.sleep(0.08)
