"""An idempotency key stands for its job for a while, and then may come with another one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START
from jobqueue_core.testing.store import MemoryJobStore

if TYPE_CHECKING:
    from jobqueue_core.domain.job import Job
    from jobqueue_core.ports.store import JobStore
    from jobqueue_testsupport.factories import JobFactory

DAY_SECONDS = 86_400.0
A_DAY_LATER = later(START, DAY_SECONDS)


def keyed(job_factory: JobFactory, phase: Phase = Phase.QUEUED, **changes: object) -> Job:
    """Return a job with the key, which stands for it for a day from its submission."""
    job = job_factory(phase, idempotency_key="k", **changes)
    return replace(job, idempotency_until=later(job.created_at, DAY_SECONDS))


async def take_key_of(store: JobStore, job: Job) -> None:
    """Leave behind what a submitter does that dies before it has stored its job."""
    if isinstance(store, MemoryJobStore):
        store.keys[job.queue, job.idempotency_key or ""] = (job.id, job.idempotency_until)
    else:
        assert isinstance(store, MongoJobStore)
        assert await store.idempotency_keys.placed([job]) == [job]


async def owner(store: JobStore, job: Job) -> Job:
    """Return the job that has the key now, by submitting another one with it."""
    (answer,) = await store.insert([job])
    assert not answer.created
    return answer.job


async def test_the_key_stands_to_the_last_millisecond(store: JobStore, job_factory: JobFactory) -> None:
    first = keyed(job_factory)
    await store.insert([first])
    last = keyed(job_factory, created_at=later(START, DAY_SECONDS - 0.001))
    assert await owner(store, last) == first
    assert await store.get(last.id) is None


@pytest.mark.parametrize("phase", Phase)
async def test_afterwards_another_job_takes_it_whatever_became_of_the_first(
    store: JobStore, job_factory: JobFactory, phase: Phase
) -> None:
    first, second = keyed(job_factory, phase), keyed(job_factory, created_at=A_DAY_LATER)
    await store.insert([first])
    assert [(answer.created, answer.job) for answer in await store.insert([second])] == [(True, second)]
    assert await store.get(first.id) == first
    assert await store.get(second.id) == second
    assert await owner(store, keyed(job_factory, created_at=A_DAY_LATER)) == second


async def test_one_of_many_takes_it_over(store: JobStore, job_factory: JobFactory) -> None:
    await store.insert([keyed(job_factory)])
    jobs = [keyed(job_factory, created_at=A_DAY_LATER) for _ in range(20)]
    answers = [answer for (answer,) in await asyncio.gather(*(store.insert([job]) for job in jobs))]
    (winner,) = [answer.job for answer in answers if answer.created]
    assert {answer.job.id for answer in answers} == {winner.id}
    assert set(await store.get_many([job.id for job in jobs])) == {winner.id}


async def test_one_of_a_batch_takes_it_over_and_the_others_are_stored(
    store: JobStore, job_factory: JobFactory
) -> None:
    await store.insert([keyed(job_factory)])
    new, again = (keyed(job_factory, created_at=A_DAY_LATER) for _ in range(2))
    strangers = job_factory.many(2)
    answers = await store.insert([strangers[0], new, again, strangers[1]])
    assert [(answer.created, answer.job.id) for answer in answers] == [
        (True, strangers[0].id),
        (True, new.id),
        (False, new.id),
        (True, strangers[1].id),
    ]
    stored = await store.get_many([job.id for job in (*strangers, new, again)])
    assert set(stored) == {strangers[0].id, new.id, strangers[1].id}


async def test_a_job_whose_submitter_died_is_stored_by_the_next_with_the_same_id(
    store: JobStore, job_factory: JobFactory
) -> None:
    """The key was taken and its job never stored, or it has been forgotten since: there is one id for it."""
    first, second = keyed(job_factory), keyed(job_factory, payload={"n": 2})
    await take_key_of(store, first)
    (answer,) = await store.insert([second])
    assert (answer.created, answer.job) == (True, replace(second, id=first.id))
    assert [(a.created, a.job) for a in await store.insert([first])] == [(False, answer.job)]
    assert set(await store.get_many([first.id, second.id])) == {first.id}


async def test_one_of_many_stores_the_job_of_a_submitter_that_died(
    store: JobStore, job_factory: JobFactory
) -> None:
    first = keyed(job_factory)
    await take_key_of(store, first)
    jobs = [first, *(keyed(job_factory) for _ in range(19))]
    answers = [answer for (answer,) in await asyncio.gather(*(store.insert([job]) for job in jobs))]
    assert sum(answer.created for answer in answers) == 1
    assert {answer.job.id for answer in answers} == {first.id}
