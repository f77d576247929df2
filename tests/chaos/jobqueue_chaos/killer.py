"""Kills processes without end: each at a failpoint of the plan, or after its time is up."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from typing import TYPE_CHECKING

from jobqueue_chaos.plan import SELDOM, Arm, Plan, Role, places_of
from jobqueue_chaos.processes import Start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobqueue_chaos.processes import Slot
    from jobqueue_chaos.profile import Profile
    from jobqueue_chaos.world import World

_POLL_SECONDS = 0.1
_START_SECONDS = 15.0
# A process with a failpoint that is seldom reached lives longer.
_PATIENCE = 2.0
_DRAINING = "worker.draining"


class Killer:
    """One task for each slot; what one process did not reach is given to the next.

    Attributes:
        by_place: kills at each failpoint.
        random: kills at any other moment.

    """

    def __init__(self, world: World, plan: Plan, profile: Profile) -> None:
        """Take the plan, and how many to kill how soon."""
        self.by_place: Counter[str] = Counter()
        self.random = 0
        self._world = world
        self._plan = plan
        self._life_seconds = profile.life_seconds
        self._kills = profile.kills
        self._arms: dict[Role, Iterator[Arm]] = {role: plan.arms(role) for role in Role}
        self._again: dict[Role, deque[Arm]] = {role: deque() for role in Role}
        self._turn: Counter[Role] = Counter()
        self._seen = 0

    @property
    def total(self) -> int:
        """Kills so far."""
        return self.by_place.total() + self.random

    @property
    def missing(self) -> list[str]:
        """Failpoints that have killed nobody yet."""
        return [place for role in Role for place in places_of(role) if not self.by_place[place]]

    def arm_all(self) -> None:
        """Set how the first processes are started."""
        for slot in self._world.slots.values():
            slot.start = self._next_start(slot, self._plan.clock_offsets(slot.name))

    async def run(self) -> None:
        """Kill until cancelled; afterwards the processes live on, unarmed at their next start."""
        try:
            async with asyncio.TaskGroup() as group:
                for slot in self._world.slots.values():
                    group.create_task(self._follow(slot))
        finally:
            for slot in self._world.slots.values():
                slot.start = Start(clock_offset=slot.start.clock_offset)

    def count(self) -> None:
        """Take the deaths since the last look."""
        for death in self._world.deaths[self._seen :]:
            if death.place is not None:
                self.by_place[death.place] += 1
            elif death.how == "killed":
                self.random += 1
        self._seen = len(self._world.deaths)

    async def _follow(self, slot: Slot) -> None:
        lives = self._plan.lives(slot.name, self._life_seconds)
        offsets = self._plan.clock_offsets(slot.name)
        while True:
            await slot.up()
            arm, generation = slot.start.arm, slot.generation
            # The next process gets the next failpoint.
            slot.start = self._next_start(slot, offsets)
            await self._see_off(slot, generation, arm, next(lives))
            while slot.generation == generation:  # noqa: ASYNC110 - until the next one is there
                await asyncio.sleep(_POLL_SECONDS)
            self.count()

    async def _see_off(self, slot: Slot, generation: int, arm: Arm | None, life: float) -> None:
        """Return when the process is gone: by its failpoint, or because its time was up."""
        loop = asyncio.get_running_loop()
        # Its time counts from the moment at which it works; under an outage it may never.
        latest = loop.time() + _START_SECONDS
        if arm is None:
            life = math.inf
        elif arm.place in SELDOM:
            life = SELDOM[arm.place]
        elif arm.at == 1:
            life *= _PATIENCE
        while (  # noqa: ASYNC110 - another process says so, in its log
            not slot.is_ready and loop.time() < latest and slot.generation == generation
        ):
            await asyncio.sleep(_POLL_SECONDS)
        began, is_drained = loop.time(), False
        while slot.generation == generation:
            await asyncio.sleep(_POLL_SECONDS)
            age = loop.time() - began
            if age > life:
                if arm is not None and not self.by_place[arm.place]:
                    # The next time it is the first pass that kills.
                    self._again[slot.role].append(Arm(arm.place, 1))
                slot.kill()
                await slot.gone(generation)
                return
            if arm is not None and arm.place == _DRAINING and age > life / 2 and not is_drained:
                is_drained = True
                slot.ask_to_end()

    def _next_start(self, slot: Slot, offsets: Iterator[float]) -> Start:
        return Start(self._next_arm(slot.role), clock_offset=next(offsets))

    def _next_arm(self, role: Role) -> Arm | None:
        """Return the next one by plan, in turns with a place that was not reached.

        Once enough have been killed only places that have killed nobody count, and without one the
        processes of the role are left alone.
        """
        self._turn[role] += 1
        waiting = self._again[role]
        while waiting and self.by_place[waiting[0].place]:
            waiting.popleft()
        if self.total >= self._kills:
            places = [place for place in self.missing if place in places_of(role)]
            return Arm(places[self._turn[role] % len(places)], 1) if places else None
        if waiting and self._turn[role] % 2:
            return waiting.popleft()
        # Of those that take long to reach only until they have killed.
        return next(
            arm for arm in self._arms[role] if arm.place not in SELDOM or not self.by_place[arm.place]
        )
