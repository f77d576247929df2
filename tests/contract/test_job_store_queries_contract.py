"""What every job store answers: pages, what is due, counts, workers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.heartbeat import Heartbeat, PhaseCounts
from jobqueue_core.domain.ids import lowest_id_at
from jobqueue_core.domain.job import Job, Phase, Status
from jobqueue_core.domain.times import later
from jobqueue_core.ports.store import Backlog, JobFilter
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import JobFactory

if TYPE_CHECKING:
    from jobqueue_core.ports.store import JobStore


@pytest.fixture
def aged() -> list[Job]:
    """Jobs of two queues and every phase, a second apart, the oldest first."""
    factory = JobFactory()
    jobs = []
    for number, (phase, queue) in enumerate([*product(Phase, ("jobs", "others"))] * 2):
        factory.now, factory.queue = later(START, number), queue
        jobs.append(factory(phase))
    return jobs


FILTERS = [
    JobFilter(queue=queue, status=status, phase=phase, created_from=start, created_before=end)
    for queue in (None, "jobs", "none")
    for status, phase in [(None, None), *((each, None) for each in Status), *((None, each) for each in Phase)]
    for start, end in [
        (None, None),
        (later(START, 7), None),
        (None, later(START, 21)),
        (later(START, 7), later(START, 21)),
    ]
]


def wanted(which: JobFilter, job: Job) -> bool:
    return (
        which.queue in (None, job.queue)
        and which.status in (None, job.status)
        and which.phase in (None, job.phase)
        and (which.created_from is None or job.created_at >= which.created_from)
        and (which.created_before is None or job.created_at < which.created_before)
    )


async def test_every_filter_gives_its_jobs_newest_first(store: JobStore, aged: list[Job]) -> None:
    await store.insert(aged)
    for which in FILTERS:
        expected = [job for job in reversed(aged) if wanted(which, job)]
        assert await store.page(which, limit=100) == expected, which


async def test_pages_follow_each_other_without_gap_or_repeat(store: JobStore, aged: list[Job]) -> None:
    await store.insert(aged)
    for which in FILTERS:
        expected = [job.id for job in reversed(aged) if wanted(which, job)]
        seen: list[str] = []
        while page := await store.page(which, limit=5, before=seen[-1] if seen else None):
            assert len(page) <= 5
            seen += [job.id for job in page]
        assert seen == expected, which


async def test_new_jobs_do_not_move_a_page_that_was_begun(store: JobStore, aged: list[Job]) -> None:
    await store.insert(aged[:10])
    first = await store.page(JobFilter(), limit=5)
    await store.insert(aged[10:])
    second = await store.page(JobFilter(), limit=5, before=first[-1].id)
    assert [job.id for job in first + second] == [job.id for job in reversed(aged[:10])]


async def test_a_cursor_and_an_end_both_bound_a_page(store: JobStore, aged: list[Job]) -> None:
    await store.insert(aged)
    which = JobFilter(created_before=later(START, 5))
    assert await store.page(which, limit=1, before=lowest_id_at(later(START, 20))) == [aged[4]]
    assert await store.page(which, limit=1, before=aged[2].id) == [aged[1]]


async def test_the_longest_due_come_first_and_no_more_than_asked(
    store: JobStore, job_factory: JobFactory
) -> None:
    seconds = [5, 1, 4, 2, 3]
    jobs = [job_factory(due_at=later(START, each)) for each in seconds]
    await store.insert([*jobs, job_factory(due_at=None)])
    in_order = sorted(jobs, key=lambda job: job.due_at or START)
    assert await store.due(later(START, 60), 10) == in_order
    assert await store.due(later(START, 60), 2) == in_order[:2]
    assert await store.due(later(START, 3), 10) == in_order[:3]
    assert await store.due(later(START, 0.999), 10) == []


async def test_jobs_of_every_phase_can_be_due(store: JobStore, job_factory: JobFactory) -> None:
    jobs = [job_factory(phase, due_at=START) for phase in Phase]
    await store.insert(jobs)
    assert {job.id for job in await store.due(START, 10)} == {job.id for job in jobs}


async def test_which_jobs_have_waited_for_long(store: JobStore, job_factory: JobFactory) -> None:
    old = [
        job_factory(phase, sent_at=later(START, second))
        for second, phase in [(3, Phase.QUEUED), (1, Phase.RETRYING), (2, Phase.QUEUED)]
    ]
    others = [
        job_factory(sent_at=later(START, 4)),
        job_factory(sent_at=None),
        job_factory(sent_at=START, queue="others"),
        *(job_factory(phase, sent_at=START) for phase in set(Phase) - {Phase.QUEUED, Phase.RETRYING}),
    ]
    await store.insert([*old, *others])
    in_order = [old[1], old[2], old[0]]
    assert await store.waiting_since("jobs", later(START, 4), 10) == in_order
    assert await store.waiting_since("jobs", later(START, 4), 2) == in_order[:2]
    assert await store.waiting_since("jobs", later(START, 1), 10) == []


async def test_counts_by_phase(store: JobStore, job_factory: JobFactory) -> None:
    numbers = {phase: number for number, phase in enumerate(Phase)}
    for phase, number in numbers.items():
        await store.insert([*job_factory.many(number, phase), job_factory(phase, queue="others")])
    counts = await store.counts("jobs")
    assert counts == PhaseCounts(**{phase.value: number for phase, number in numbers.items()})
    assert await store.counts("others") == PhaseCounts(1, 1, 1, 1, 1, 1, 1)
    assert await store.counts("none") == PhaseCounts()
    assert (counts.waiting, counts.unfinished, counts.finished) == (1 + 3, 0 + 1 + 2 + 3, 4 + 5 + 6)


async def test_the_unfinished_are_counted_up_to_the_limit(store: JobStore, job_factory: JobFactory) -> None:
    for phase in Phase:
        await store.insert([*job_factory.many(2, phase), job_factory(phase, queue="others")])
    # Queued, running and retrying.
    assert await store.unfinished("jobs", 100) == 6
    assert await store.unfinished("jobs", 4) == 4
    assert await store.unfinished("none", 4) == 0


async def test_since_when_the_oldest_job_waits(store: JobStore, aged: list[Job]) -> None:
    await store.insert(aged)
    oldest = next(job for job in aged if job.phase is Phase.QUEUED and job.queue == "others")
    assert await store.oldest_waiting("others") == oldest.created_at
    assert await store.oldest_waiting("none") is None


async def test_what_many_queues_have_left_to_do(store: JobStore, aged: list[Job]) -> None:
    await store.insert(aged)
    backlogs = await store.backlogs(["jobs", "others", "none"])
    # Queued, running and retrying, each twice.
    assert {queue: backlog.unfinished for queue, backlog in backlogs.items()} == {
        "jobs": 6,
        "others": 6,
        "none": 0,
    }
    for queue, backlog in backlogs.items():
        assert backlog.unfinished == await store.unfinished(queue, 100)
        assert backlog.oldest_waiting == await store.oldest_waiting(queue)
    assert backlogs["jobs"].oldest_waiting != backlogs["others"].oldest_waiting
    assert await store.backlogs([]) == {}


async def test_a_queue_whose_jobs_all_run_has_nobody_waiting(
    store: JobStore, job_factory: JobFactory
) -> None:
    await store.insert(job_factory.many(2, Phase.RUNNING))
    assert await store.backlogs(["jobs"]) == {"jobs": Backlog(2, None)}


def beat(worker: str, second: float, queue: str = "jobs") -> Heartbeat:
    return Heartbeat(
        worker=worker,
        queue=queue,
        slots=10,
        busy=3,
        service_seconds=0.25,
        attempts=7,
        retries=2,
        finished=5,
        draining=False,
        started_at=START,
        seen_at=later(START, second),
    )


async def test_a_worker_is_known_by_its_newest_word(store: JobStore) -> None:
    await store.beat(beat("a", 1), 3600)
    newest = replace(beat("a", 2), service_seconds=None, draining=True)
    await store.beat(newest, 3600)
    assert await store.workers("jobs", START) == [newest]


async def test_workers_are_those_of_the_queue_that_were_heard_of(store: JobStore) -> None:
    for heartbeat in (beat("a", 1), beat("b", 2), beat("c", 3), beat("d", 3, "others")):
        await store.beat(heartbeat, 3600)
    assert {each.worker for each in await store.workers("jobs", later(START, 1))} == {"b", "c"}
    await store.leave("b")
    await store.leave("never there")
    assert {each.worker for each in await store.workers("jobs", START)} == {"a", "c"}


async def test_workers_of_many_queues_are_read_at_once(store: JobStore) -> None:
    beats = [beat("a", 1), beat("b", 2), beat("c", 3, "others"), beat("d", 3, "thirds")]
    for heartbeat in beats:
        await store.beat(heartbeat, 3600)
    found = await store.workers_of(["jobs", "others", "none"], later(START, 1))
    assert sorted(found, key=lambda each: each.worker) == beats[1:3]
    assert await store.workers_of([], START) == []


async def test_a_job_is_behind_an_earlier_one_of_its_key_that_is_neither_final_nor_scheduled(
    store: JobStore, job_factory: JobFactory
) -> None:
    ended = job_factory(Phase.SUCCEEDED, ordering_key="a")
    scheduled = job_factory(Phase.SCHEDULED, ordering_key="a")
    first = job_factory(Phase.RETRYING, ordering_key="a")
    second = job_factory(ordering_key="a")
    other_key, other_queue = job_factory(ordering_key="b"), job_factory(queue="others", ordering_key="a")
    without = job_factory()
    jobs = [ended, scheduled, first, second, other_key, other_queue, without]
    await store.insert(jobs)
    assert await store.first_of_keys(jobs) == {second.id: first}
    assert await store.first_of_keys([]) == {}
