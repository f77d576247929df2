"""A job that is forgotten (TTL) just when another one finds it in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.indexes import JOBS
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from jobqueue_core.adapters.mongo.drivers import Driver
    from jobqueue_core.domain.job import Job
    from jobqueue_testsupport.factories import JobFactory


class Forgetful(MongoJobStore):
    """Forgets jobs so many times just before they are read."""

    def __init__(self, driver: Driver, *, guard_index: bool) -> None:
        super().__init__(driver, guard_index=guard_index)
        self._collection = driver.collection(JOBS)
        self.forgets = 0
        self.comes_back = False

    async def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        if not self.forgets:
            return await super().get_many(job_ids)
        self.forgets -= 1
        there = await self._collection.find({"_id": {"$in": list(job_ids)}}).to_list()
        await self._collection.delete_many({"_id": {"$in": list(job_ids)}})
        found = await super().get_many(job_ids)
        if self.comes_back:
            await self._collection.insert_many(there)
        return found


@pytest.fixture
async def store(
    embedded_mongo_uri: str,
    mongo_database: str,
    mongo_is_embedded: bool,  # noqa: FBT001 - a fixture
) -> AsyncIterator[Forgetful]:
    driver = open_driver("pymongo", embedded_mongo_uri, mongo_database)
    store = Forgetful(driver, guard_index=mongo_is_embedded)
    await store.prepare()
    yield store
    await store.close()


async def test_the_other_is_stored_in_its_place(store: Forgetful, job_factory: JobFactory) -> None:
    first, second = job_factory.many(2, idempotency_key="k")
    await store.insert([first])
    store.forgets = 1
    (answer,) = await store.insert([second])
    assert (answer.created, answer.job.id) == (True, first.id)
    assert await store.get(first.id) == answer.job


async def test_what_never_holds_still_is_no_acceptance(store: Forgetful, job_factory: JobFactory) -> None:
    first, second = job_factory.many(2, idempotency_key="k")
    await store.insert([first])
    store.forgets, store.comes_back = 100, True
    with pytest.raises(StoreUnavailableError, match="submit again"):
        await store.insert([second])
