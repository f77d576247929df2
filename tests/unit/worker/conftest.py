"""Workers on fakes, ended with the test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobqueue_testsupport.worker_rig import Rig, worker_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
async def make_rig() -> AsyncIterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**overrides: object) -> Rig:
        name = str(overrides.pop("queue_name", "jobs"))
        rigs.append(Rig(worker_settings(**overrides), name))
        return rigs[-1]

    yield make
    for rig in rigs:
        for task in rig.tasks:
            task.cancel()
        await asyncio.gather(*rig.tasks, return_exceptions=True)


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()
