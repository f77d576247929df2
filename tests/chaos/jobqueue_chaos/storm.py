"""The storm: a load, and every fault of the plan, and kills all the while; then the account."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_chaos.account import Account, account
from jobqueue_chaos.faults import Faults
from jobqueue_chaos.killer import Killer
from jobqueue_chaos.mix import make_mix
from jobqueue_chaos.plan import make_plan
from jobqueue_chaos.report import keep_evidence
from jobqueue_chaos.sqs_proxy import Odds
from jobqueue_chaos.world import World, opened_world

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from jobqueue_chaos.facts import Facts
    from jobqueue_chaos.plan import Kind, Plan
    from jobqueue_chaos.profile import Profile

_ODDS = Odds(repeat=0.03, lose_answer=0.005, refuse_entry=0.01, refuse_letter=0.15, reorder=True)
_MONGO_LOSES = 0.002
_PROGRESS_SECONDS = 10.0
_LOOK_SECONDS = 0.5
# What a fault takes beyond its plan: starts, and the wait for the next call.
_SLACK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What came of a storm.

    Attributes:
        by_place: kills at each failpoint.
        mishaps: what the proxies did all the time, by kind.
        not_run: faults that this machine cannot have, and why.
        missing: failpoints that killed nobody although they should.
        evidence: folder with the logs and the jobs that are off.

    """

    facts: Facts
    account: Account
    by_place: Mapping[str, int]
    random_kills: int
    mishaps: Mapping[str, int]
    not_run: Mapping[str, str]
    missing: Sequence[str]
    seconds: float
    evidence: Path | None

    @property
    def kills(self) -> int:
        """Kills in all."""
        return sum(self.by_place.values()) + self.random_kills

    @property
    def is_clean(self) -> bool:
        """Whether nothing is off and everything was tried."""
        return self.account.is_clean and not self.missing


async def storm(
    seed: int, profile: Profile, tell: Callable[[str], None], kinds: Sequence[Kind] | None = None
) -> Storm:
    """Run a storm.

    Args:
        seed: of the plan, the load and the proxies.
        profile: its size.
        tell: gets lines on its progress.
        kinds: the faults; None: all.

    """
    began = time.monotonic()
    plan = make_plan(seed, profile, kinds)
    async with opened_world(seed, jobs=profile.jobs) as world:
        killer, faults = Killer(world, plan, profile), Faults(world, seed)
        killer.arm_all()
        await world.begin()
        world.sqs.odds = _ODDS
        world.mongo.lose_answers = _MONGO_LOSES
        await _rage(world, profile, plan, killer, faults, tell)
        mishaps = world.mishaps()
        tell("faults over, waiting for the end of every job")
        facts = await world.concluded(profile.patience_seconds)
        killer.count()
        verdict = account(facts)
        return Storm(
            facts=facts,
            account=verdict,
            by_place=killer.by_place,
            random_kills=killer.random,
            mishaps=mishaps,
            not_run={kind.value: why for kind, why in faults.not_run.items()},
            missing=killer.missing if profile.every_place else (),
            seconds=time.monotonic() - began,
            evidence=None if verdict.is_clean else keep_evidence(seed, facts, verdict, world.logs),
        )


async def _rage(
    world: World,
    profile: Profile,
    plan: Plan,
    killer: Killer,
    faults: Faults,
    tell: Callable[[str], None],
) -> None:
    """Load, faults and kills together, until the load and the faults are through and enough were killed."""
    began = time.monotonic()
    expected = sum(fault.seconds + fault.pause_seconds + _SLACK_SECONDS for fault in plan.faults)
    load = asyncio.create_task(
        world.client.submit_all(
            make_mix(plan.seed, profile.jobs, left_out=profile.left_out), profile.jobs / expected
        ),
        name="load",
    )
    others = {
        asyncio.create_task(killer.run(), name="kills"),
        asyncio.create_task(_progress(world, killer, tell), name="progress"),
    }
    try:
        for fault in plan.faults:
            tell(f"{fault.kind.value}{f' for {fault.seconds:g} s' if fault.seconds else ''}")
            await faults.carry_out(fault)
        while not _has_enough(killer, profile):
            if time.monotonic() - began > profile.limit_seconds:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        await load
    finally:
        for task in (load, *others):
            task.cancel()
        results = await asyncio.gather(load, *others, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _has_enough(killer: Killer, profile: Profile) -> bool:
    killer.count()
    return killer.total >= profile.kills and not (profile.every_place and killer.missing)


async def _progress(world: World, killer: Killer, tell: Callable[[str], None]) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        killer.count()
        tell(f"{time.monotonic() - began:4.0f} s: {world.progress()}, {killer.total} kills")
