"""The database goes away and comes back, under a store that stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin
from jobqueue_core.ports.store import JobFilter
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import IDLE_BEAT, JobFactory
from jobqueue_testsupport.server import EmbeddedMongo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from jobqueue_core.domain.job import Job

pytestmark = pytest.mark.usefixtures("outage_sockets")

TIMEOUT_SECONDS = 0.25


def operations(store: MongoJobStore, job: Job, new: Job) -> dict[str, Callable[[], Awaitable[object]]]:
    claim = begin(job, owner="w", token="w1", expires_at=later(START, 60), now=START)
    return {
        "prepare": store.prepare,
        "ping": store.ping,
        "insert": lambda: store.insert([new]),
        "get": lambda: store.get(job.id),
        "get_many": lambda: store.get_many([job.id]),
        "apply": lambda: store.apply([claim]),
        "offer": lambda: store.offer([claim]),
        "page": lambda: store.page(JobFilter(), limit=1),
        "due": lambda: store.due(START, 1),
        "waiting_since": lambda: store.waiting_since("jobs", START, 1),
        "counts": lambda: store.counts("jobs"),
        "unfinished": lambda: store.unfinished("jobs", 1),
        "oldest_waiting": lambda: store.oldest_waiting("jobs"),
        "beat": lambda: store.beat(IDLE_BEAT, 60),
        "leave": lambda: store.leave("w"),
        "backlogs": lambda: store.backlogs(["jobs"]),
        "workers": lambda: store.workers("jobs", START),
        "workers_of": lambda: store.workers_of(["jobs"], START),
    }


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_database_that_goes_away_is_an_error_until_it_is_back(
    tmp_path: Path, job_factory: JobFactory, driver: str
) -> None:
    job, new = job_factory.many(2)
    with EmbeddedMongo(tmp_path) as server:
        opened = open_driver(driver, server.url, "jobs", timeout_seconds=TIMEOUT_SECONDS)
        store = MongoJobStore(opened, guard_index=True)
        patient = MongoJobStore(open_driver(driver, server.url, "jobs", timeout_seconds=20), guard_index=True)
        await patient.prepare()
        await patient.insert([job])
        # As a crash would: what was acknowledged must be there afterwards.
        server.kill()
        tried = operations(store, job, new)
        ends = await asyncio.gather(*(each() for each in tried.values()), return_exceptions=True)
        assert {name: type(end) for name, end in zip(tried, ends, strict=True)} == dict.fromkeys(
            tried, StoreUnavailableError
        )
        server.start()
        # The same store, by itself: it looks for the server while it waits.
        assert await patient.get(job.id) == job
        for operation in operations(patient, job, new).values():
            await operation()
        assert await patient.get(new.id) == new
        await store.close()
        await patient.close()


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_the_drivers_error_stands_behind_the_products(driver: str) -> None:
    store = MongoJobStore(open_driver(driver, "mongodb://127.0.0.1:9/", "jobs", timeout_seconds=0.1))
    with pytest.raises(StoreUnavailableError, match="the database does not answer: ") as failed:
        await store.ping()
    assert type(failed.value.__cause__).__module__.startswith("pymongo")
    assert len(str(failed.value)) <= 500
    await store.close()
