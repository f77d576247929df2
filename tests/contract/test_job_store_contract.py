"""What every job store does: the one in memory, and MongoDB by either driver."""

from __future__ import annotations

import asyncio
import random
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import (
    HISTORY_LIMIT,
    Attempt,
    AttemptOutcome,
    Job,
    JobError,
    JobResult,
    Lease,
    Phase,
    Step,
)
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import (
    begin,
    cancel,
    claim_send,
    extend,
    finish,
    give_up_lost,
    note_dead_lettered,
    note_sent,
    postpone,
    retry_by_hand,
    step,
)
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import RULES, JobFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_core.domain.job import JsonValue
    from jobqueue_core.domain.transitions import Transition
    from jobqueue_core.ports.store import JobStore

IN_A_MINUTE = later(START, 60)
OK = of_answer(200, JobResult(200, "done"))
BUSY = of_answer(503, JobResult(503, "busy"))


async def have(store: JobStore, *jobs: Job) -> None:
    answers = await store.insert(jobs)
    assert [answer.created for answer in answers] == [True] * len(jobs)


async def stored(store: JobStore, job: Job) -> Job:
    found = await store.get(job.id)
    assert found is not None
    return found


def begun(job: Job, token: str = "w1", seconds: float = 60) -> Transition:
    return begin(job, owner="w", token=token, expires_at=later(START, seconds), now=START)


# Round trips


def full(job_factory: JobFactory) -> Job:
    """Return a job whose every field holds something."""
    attempt = Attempt(1, AttemptOutcome.RETRYABLE, START, IN_A_MINUTE, "w", 503, "busy", IN_A_MINUTE)
    bare = Attempt(2, AttemptOutcome.LOST, START, START, None)
    return job_factory(
        Phase.SUCCEEDED,
        lease=Lease("t", "w", IN_A_MINUTE),
        attempts=2,
        sends=3,
        due_at=IN_A_MINUTE,
        started_at=START,
        step=Step.ANSWERED,
        timeout_seconds=1.5,
        ordering_key="k",
        labels={"team": "x", "a.b": "1", "$c": "2", "": "3"},
        idempotency_key="key",
        idempotency_until=IN_A_MINUTE,
        fingerprint="f" * 64,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        last_error=JobError("größer", 500),
        result=JobResult(200, "日本", truncated=True),
        history=(attempt, bare),
    )


async def test_every_field_comes_back(store: JobStore, job_factory: JobFactory) -> None:
    job = full(job_factory)
    assert [field.name for field in fields(Job) if getattr(job, field.name) is None] == []
    await have(store, job)
    assert await store.get(job.id) == job
    assert await store.get_many([job.id, "no such id"]) == {job.id: job}


@pytest.mark.parametrize("phase", Phase)
async def test_a_job_of_each_phase_comes_back(store: JobStore, job_factory: JobFactory, phase: Phase) -> None:
    job = job_factory(phase)
    await have(store, job)
    assert await store.get(job.id) == job


PAYLOADS: list[dict[str, JsonValue]] = [
    {},
    {"$where": "1", "a.b": {"$set": {"x.y": 1}}, "": "", "_id": 1},
    {"big": 2**70, "negative": -(2**70), "float": 1e300, "small": 5e-324, "minus": -0.0},
    {"text": "größer 日本 🎈 \u0000 \ud800", "\ud800key\u0000": [None, True, False]},
    {"deep": [[[[{"a": [1, "1", 1.5]}]]]]},
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=["empty", "operators", "numbers", "text", "deep"])
async def test_a_payload_comes_back_as_it_was(
    store: JobStore, job_factory: JobFactory, payload: dict[str, JsonValue]
) -> None:
    job = job_factory(payload=payload)
    await have(store, job)
    assert repr((await stored(store, job)).payload) == repr(payload)


def drawn(rng: random.Random, depth: int = 3) -> JsonValue:
    """Return a JSON value at random."""
    kind = rng.randrange(8 if depth else 6)
    text = "".join(
        chr(rng.choice([rng.randrange(0x80), rng.randrange(0x10FFFF)])) for _ in range(rng.randrange(9))
    )
    if kind == 6:
        return [drawn(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {str(drawn(rng, 0)): drawn(rng, depth - 1) for _ in range(rng.randrange(4))}
    return (
        None,
        rng.random() < 0.5,
        rng.randrange(-(2**80), 2**80),
        rng.uniform(-1e9, 1e9),
        text,
        "$" + text,
    )[kind]


async def test_any_payload_comes_back_as_it_was(store: JobStore, job_factory: JobFactory) -> None:
    rng = random.Random(7)
    jobs = [job_factory(payload={"value": drawn(rng), "$a.b": drawn(rng)}) for _ in range(200)]
    await have(store, *jobs)
    found = await store.get_many([job.id for job in jobs])
    assert [repr(found[job.id].payload) for job in jobs] == [repr(job.payload) for job in jobs]


async def test_what_is_not_there(store: JobStore) -> None:
    assert await store.get("no such id") is None
    assert await store.get_many([]) == {}
    assert await store.insert([]) == []
    assert await store.apply([]) == []
    await store.offer([])
    assert await store.oldest_waiting("jobs") is None


async def test_preparing_again_and_asking_whether_it_is_there_do_no_harm(
    store: JobStore, job_factory: JobFactory
) -> None:
    job = job_factory()
    await have(store, job)
    await store.prepare()
    await store.ping()
    assert await store.get(job.id) == job


# Steps

LIVES: dict[str, tuple[Phase, Callable[[Job], Transition]]] = {
    "sent": (Phase.QUEUED, lambda job: note_sent(job, IN_A_MINUTE)),
    "begun": (Phase.QUEUED, begun),
    "taken over": (
        Phase.RUNNING,
        lambda job: begin(job, owner="v", token="n", expires_at=later(START, 99), now=IN_A_MINUTE),
    ),
    "extended": (Phase.RUNNING, lambda job: extend(job, expires_at=later(START, 99))),
    "succeeded": (
        Phase.RUNNING,
        lambda job: finish(job, OK, rules=RULES, jitter=0.5, token="n", now=IN_A_MINUTE),
    ),
    "retried": (
        Phase.RUNNING,
        lambda job: finish(job, BUSY, rules=RULES, jitter=0.5, token="n", now=IN_A_MINUTE),
    ),
    "parked": (
        Phase.RUNNING,
        lambda job: finish(
            job,
            replace(BUSY, retry_after_seconds=2000.0),
            rules=RULES,
            jitter=0.5,
            token="n",
            now=IN_A_MINUTE,
        ),
    ),
    "lost": (Phase.RUNNING, lambda job: give_up_lost(job, rules=RULES, token="n", now=IN_A_MINUTE)),
    "failed": (
        Phase.RUNNING,
        lambda job: finish(
            job, of_answer(404, JobResult(404, "")), rules=RULES, jitter=0.5, token="n", now=IN_A_MINUTE
        ),
    ),
    "sent again": (Phase.RETRYING, lambda job: claim_send(job, rules=RULES, token="n", now=IN_A_MINUTE)),
    "postponed": (Phase.QUEUED, lambda job: postpone(job, now=START, seconds=60)),
    "cancelled": (Phase.SCHEDULED, lambda job: cancel(job, rules=RULES, token="n", now=IN_A_MINUTE)),
    "dead-lettered": (Phase.FAILED, lambda job: note_dead_lettered(job, IN_A_MINUTE)),
    "retried by hand": (
        Phase.FAILED,
        lambda job: retry_by_hand(job, rules=RULES, token="n", now=IN_A_MINUTE),
    ),
}


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("way", ["apply", "offer"])
async def test_a_step_is_written_whole(store: JobStore, job_factory: JobFactory, name: str, way: str) -> None:
    phase, make = LIVES[name]
    job = job_factory(phase, history=(Attempt(1, AttemptOutcome.LOST, START, START, "w"),))
    await have(store, job)
    transition = make(job)
    if way == "apply":
        assert await store.apply([transition]) == [True]
    else:
        await store.offer([transition])
    assert await store.get(job.id) == transition.after


async def test_a_history_at_its_limit_drops_the_oldest(store: JobStore, job_factory: JobFactory) -> None:
    old = tuple(
        Attempt(number, AttemptOutcome.RETRYABLE, START, START, "w") for number in range(HISTORY_LIMIT)
    )
    job = job_factory(Phase.RUNNING, history=old)
    await have(store, job)
    transition = finish(job, OK, rules=RULES, jitter=0.5, token="n", now=START)
    assert await store.apply([transition]) == [True]
    assert (await stored(store, job)).history == transition.after.history
    assert transition.after.history[:-1] == old[1:]


@pytest.mark.parametrize(
    "change",
    [
        {"lease": Lease("another")},
        {"phase": Phase.CANCELLED},
        {"lease": Lease("t", "w", later(START, 61))},
        {"lease": Lease("t")},
    ],
    ids=["token", "status", "expiry", "no-expiry"],
)
@pytest.mark.parametrize("way", ["apply", "offer"])
async def test_a_write_whose_guard_does_not_hold_changes_nothing(
    store: JobStore, job_factory: JobFactory, change: dict[str, object], way: str
) -> None:
    read = job_factory(Phase.RUNNING, lease=Lease("t", "w", IN_A_MINUTE))
    there = replace(read, **change)  # type: ignore[arg-type] # fields by name
    await have(store, there)
    transition = give_up_lost(read, rules=RULES, token="n", now=IN_A_MINUTE)
    if way == "apply":
        assert await store.apply([transition]) == [False]
    else:
        await store.offer([transition])
    assert await store.get(read.id) == there


async def test_an_owner_may_finish_however_often_it_has_extended(
    store: JobStore, job_factory: JobFactory
) -> None:
    read = job_factory(Phase.RUNNING)
    await have(store, read)
    assert await store.apply([extend(read, expires_at=later(START, 99))]) == [True]
    done = finish(read, OK, rules=RULES, jitter=0.5, token="n", now=IN_A_MINUTE)
    assert await store.apply([done]) == [True]
    assert await store.get(read.id) == done.after


async def test_a_job_that_is_not_there_is_not_written(store: JobStore, job_factory: JobFactory) -> None:
    job = job_factory()
    assert await store.apply([begun(job)]) == [False]
    await store.offer([begun(job)])
    assert await store.get(job.id) is None


async def test_a_mixed_batch_tells_which_were_written(store: JobStore, job_factory: JobFactory) -> None:
    jobs = job_factory.many(6)
    await have(store, *jobs[:5])
    taken = begun(jobs[1], "other")
    noted = note_sent(jobs[3], START)
    assert await store.apply([taken, noted]) == [True, True]
    batch = [
        begun(jobs[0]),  # lands
        begun(jobs[1]),  # another has it
        note_sent(jobs[2], START),  # lands
        begun(jobs[3]),  # lands: a note keeps the token
        cancel(jobs[4], rules=RULES, token="c", now=START),  # lands
        begun(jobs[5]),  # was never stored
    ]
    landed = [True, False, True, True, True, False]
    assert await store.apply(batch) == landed
    assert await store.get(jobs[1].id) == taken.after
    found = await store.get_many([job.id for job in jobs])
    assert [
        found[job.id] == one.after for job, one, is_ours in zip(jobs, batch, landed, strict=True) if is_ours
    ] == [True] * 4


@pytest.mark.parametrize("name", LIVES)
async def test_repeating_a_step_is_harmless(store: JobStore, job_factory: JobFactory, name: str) -> None:
    """As after an answer that was lost on its way: the second time finds it done, and says so."""
    phase, make = LIVES[name]
    job = job_factory(phase)
    await have(store, job)
    transition = make(job)
    assert await store.apply([transition]) == [True]
    assert await store.apply([transition]) == [True]
    found = await stored(store, job)
    assert found == transition.after


async def test_a_step_that_changes_nothing_is_harmless(store: JobStore, job_factory: JobFactory) -> None:
    job = job_factory(Phase.RUNNING)
    await have(store, job)
    assert await store.apply([step(job, job)]) == [True]
    await store.offer([extend(job, expires_at=IN_A_MINUTE)])
    assert await store.get(job.id) == job


async def test_each_job_is_claimed_by_one_of_many(store: JobStore, job_factory: JobFactory) -> None:
    jobs = job_factory.many(50)
    await have(store, *jobs)

    async def claim(worker: int) -> list[str]:
        order = random.Random(worker).sample(jobs, len(jobs))
        won: list[str] = []
        for start in range(0, 50, 10):
            claims = [begun(job, f"w{worker}") for job in order[start : start + 10]]
            landed = await store.apply(claims)
            won += [one.before.id for one, is_ours in zip(claims, landed, strict=True) if is_ours]
        return won

    won = await asyncio.gather(*(claim(worker) for worker in range(20)))
    assert sorted(job_id for ids in won for job_id in ids) == [job.id for job in jobs]
    found = await store.get_many([job.id for job in jobs])
    assert {job.attempts for job in found.values()} == {1}
    assert all(found[job_id].lease.token == f"w{worker}" for worker, ids in enumerate(won) for job_id in ids)


# Idempotency keys


async def test_an_idempotency_key_gives_the_job_that_has_it(store: JobStore, job_factory: JobFactory) -> None:
    first, second, other = job_factory(idempotency_key="k"), job_factory(idempotency_key="k"), job_factory()
    await have(store, first)
    answers = await store.insert([other, second])
    assert [(answer.created, answer.job) for answer in answers] == [(True, other), (False, first)]
    assert await store.get(second.id) is None


async def test_one_batch_stores_a_key_once(store: JobStore, job_factory: JobFactory) -> None:
    jobs = job_factory.many(3, idempotency_key="k")
    answers = await store.insert(jobs)
    assert [(answer.created, answer.job) for answer in answers] == [
        (True, jobs[0]),
        (False, jobs[0]),
        (False, jobs[0]),
    ]


async def test_a_key_counts_within_its_queue(store: JobStore, job_factory: JobFactory) -> None:
    await have(store, job_factory(idempotency_key="k"), job_factory(idempotency_key="k", queue="others"))


async def test_jobs_without_a_key_are_strangers(store: JobStore, job_factory: JobFactory) -> None:
    await have(store, *job_factory.many(3))


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_job_that_is_stored_again_is_the_one_that_is_there(
    store: JobStore, job_factory: JobFactory, key: str | None
) -> None:
    """As after an answer that was lost on its way."""
    strangers, job = job_factory.many(2), job_factory(idempotency_key=key)
    await have(store, *strangers, job)
    assert [(answer.created, answer.job) for answer in await store.insert([job])] == [(False, job)]


async def test_many_submitters_of_one_key_get_one_job(store: JobStore, job_factory: JobFactory) -> None:
    jobs = job_factory.many(20, idempotency_key="k")
    answers = [answer for (answer,) in await asyncio.gather(*(store.insert([job]) for job in jobs))]
    assert sum(answer.created for answer in answers) == 1
    assert len({answer.job.id for answer in answers}) == 1
