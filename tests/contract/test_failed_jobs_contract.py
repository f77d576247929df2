"""What every job store answers about failed jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import Job, JobError, Phase
from jobqueue_core.domain.redrives import redrive
from jobqueue_core.domain.times import later
from jobqueue_core.ports.store import FailureGroup, JobFilter
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import RULES, JobFactory

if TYPE_CHECKING:
    from jobqueue_core.ports.store import JobStore

COMMON, RARE = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


@pytest.fixture
async def failed(store: JobStore) -> list[Job]:
    """Five failed jobs of two groups and one of none, the oldest first; beside them what must not count."""
    factory = JobFactory()
    jobs = []
    for number, fingerprint in enumerate([COMMON, RARE, COMMON, None, COMMON]):
        factory.now = later(START, number)
        error = JobError("no", 503, fingerprint)
        jobs.append(factory(Phase.FAILED, last_error=error, finished_at=later(START, 100 - number)))
    others = JobFactory("others", seed=2)
    await store.insert(jobs)
    await store.insert(
        [
            others(Phase.FAILED, last_error=JobError("no", 503, COMMON)),
            *(factory(phase) for phase in Phase if phase is not Phase.FAILED),
            # Has failed and runs again: it keeps its last error, but is not failed.
            factory(Phase.RUNNING, last_error=JobError("no", 503, COMMON)),
        ]
    )
    return jobs


async def test_a_fingerprint_is_kept_with_the_error(store: JobStore, failed: list[Job]) -> None:
    assert await store.get(failed[0].id) == failed[0]
    assert await store.get(failed[3].id) == failed[3]


async def test_failed_jobs_come_in_the_order_of_submission(store: JobStore, failed: list[Job]) -> None:
    assert await store.failed_after("jobs", limit=10) == failed
    assert await store.failed_after("jobs", limit=2) == failed[:2]
    assert await store.failed_after("jobs", limit=2, after=failed[1].id) == failed[2:4]
    assert await store.failed_after("nothing", limit=2) == []


async def test_failed_jobs_of_a_group_come_alone(store: JobStore, failed: list[Job]) -> None:
    common = [failed[0], failed[2], failed[4]]
    assert await store.failed_after("jobs", limit=10, fingerprint=COMMON) == common
    assert await store.failed_after("jobs", limit=10, fingerprint=COMMON, after=common[0].id) == common[1:]
    which = JobFilter(queue="jobs", phase=Phase.FAILED, fingerprint=COMMON)
    assert await store.page(which, limit=2) == [common[2], common[1]]
    assert await store.page(which, limit=2, before=common[1].id) == [common[0]]


async def test_failed_jobs_are_counted(store: JobStore, failed: list[Job]) -> None:
    assert await store.failed_count("jobs") == len(failed)
    assert await store.failed_count("others") == 1
    assert await store.failed_count("nothing") == 0


async def test_groups_come_with_the_largest_first(store: JobStore, failed: list[Job]) -> None:
    groups = [
        FailureGroup(COMMON, 3, failed[0].id, failed[4].id, later(START, 96), later(START, 100)),
        FailureGroup(RARE, 1, failed[1].id, failed[1].id, later(START, 99), later(START, 99)),
    ]
    assert await store.failure_groups("jobs", 10) == groups
    assert await store.failure_groups("jobs", 1) == groups[:1]
    assert await store.failure_groups("nothing", 10) == []


async def test_a_job_that_is_run_again_leaves_its_group(store: JobStore, failed: list[Job]) -> None:
    now = later(START, 200)
    steps = redrive(failed[1:3], rules=RULES, token="again", now=now)
    assert await store.apply(steps) == [True, True]
    assert [group.count for group in await store.failure_groups("jobs", 10)] == [2]
    assert await store.failed_count("jobs") == 3
    assert await store.get(failed[1].id) == steps[0].after


async def test_of_two_redrives_of_one_job_one_is_written(store: JobStore, failed: list[Job]) -> None:
    now = later(START, 200)
    first = redrive(failed, rules=RULES, token="first", now=now)
    second = redrive(failed, rules=RULES, token="second", now=now)
    assert await store.apply(first[:3]) == [True] * 3
    assert await store.apply(second) == [False] * 3 + [True] * 2
    stored = await store.get_many([job.id for job in failed])
    assert [stored[job.id].lease.token for job in failed] == ["first"] * 3 + ["second"] * 2
