"""Writes that are alike go together; each still holds by its own guard."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin, cancel, note_sent
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import RULES, JobFactory

if TYPE_CHECKING:
    from jobqueue_core.domain.job import Job
    from jobqueue_core.ports.store import JobStore

IN_A_MINUTE = later(START, 60)


async def have(store: JobStore, *jobs: Job) -> None:
    answers = await store.insert(jobs)
    assert [answer.created for answer in answers] == [True] * len(jobs)


async def test_claims_that_are_alike_land_each_by_its_own_guard(
    store: JobStore, job_factory: JobFactory
) -> None:
    jobs = job_factory.many(130)
    await have(store, *jobs)
    cancelled = cancel(jobs[3], rules=RULES, token="gone", now=START)
    taken = begin(jobs[120], owner="thief", token="theirs", expires_at=IN_A_MINUTE, now=START)
    assert await store.apply([cancelled, taken]) == [True, True]

    claims = [begin(job, owner="w", token="ours", expires_at=IN_A_MINUTE, now=START) for job in jobs]
    landed = await store.apply(claims)

    assert [index for index, is_ours in enumerate(landed) if not is_ours] == [3, 120]
    stored = await store.get_many([job.id for job in jobs])
    assert stored == {claim.after.id: claim.after for claim in claims} | {
        jobs[3].id: cancelled.after,
        jobs[120].id: taken.after,
    }
    assert await store.apply(claims) == landed, "the same writes again are harmless, and answered alike"


async def test_a_token_that_jobs_share_guards_each_of_them(store: JobStore, job_factory: JobFactory) -> None:
    first, second = job_factory.many(2)
    await have(store, first, second)
    old = [begin(job, owner="w", token="shared", expires_at=START, now=START) for job in (first, second)]
    assert await store.apply(old) == [True, True]
    again = begin(old[0].after, owner="w", token="newer", expires_at=IN_A_MINUTE, now=START)
    assert await store.apply([again]) == [True]

    # The second's token is among those of the group, but it is not the first's any more.
    late = [begin(one.after, owner="late", token="late", expires_at=IN_A_MINUTE, now=START) for one in old]
    assert await store.apply(late) == [False, True]
    assert await store.get(first.id) == again.after


async def test_notes_that_say_the_same_are_written_where_their_guard_holds(
    store: JobStore, job_factory: JobFactory
) -> None:
    jobs = job_factory.many(250)
    await have(store, *jobs)
    claimed = begin(jobs[7], owner="w", token="mine", expires_at=IN_A_MINUTE, now=START)
    cancelled = cancel(jobs[130], rules=RULES, token="gone", now=START)
    assert await store.apply([claimed, cancelled]) == [True, True]

    sent_at = later(START, 1)
    await store.offer([note_sent(job, sent_at) for job in jobs])

    expected = {job.id: replace(job, sent_at=sent_at, due_at=None) for job in jobs}
    expected[jobs[7].id] = claimed.after
    expected[jobs[130].id] = cancelled.after
    assert await store.get_many([job.id for job in jobs]) == expected
