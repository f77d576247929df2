"""The database's own limit: the three operations that a job needs of it, and nothing else.

    python -m bench.database --uri mongodb://… --jobs 2000 --batch 10 --pipelines 4

Read a batch of jobs, claim them, write their outcomes: by the store's own methods, with the very steps of a
worker, decided before the clock starts. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvloop

from bench.figures import BenchError
from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.assembly import new_token
from jobqueue_core.domain.ids import JobIds
from jobqueue_core.domain.job import JobResult
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.domain.retry import RetryPolicy
from jobqueue_core.domain.submission import Submission, new_job
from jobqueue_core.domain.times import later, to_milliseconds
from jobqueue_core.domain.transitions import JobRules, Retention, begin, finish, note_sent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.transitions import Transition

_LEASE_SECONDS = 60.0
_INSERT = 200
_RULES = JobRules(
    retry=RetryPolicy(
        max_attempts=3, initial_seconds=2, max_seconds=300, factor=2, retry_after_max_seconds=3600
    ),
    retention=Retention(succeeded_seconds=604_800, failed_seconds=604_800, cancelled_seconds=604_800),
)


@dataclass(frozen=True, slots=True)
class _Batch:
    ids: list[str]
    claims: list[Transition]
    ends: list[Transition]


def _batch(jobs: Sequence[Job]) -> _Batch:
    """Return the steps of sent jobs that are claimed together and succeed in their first attempt."""
    now = to_milliseconds(datetime.now(UTC))
    token, expires_at = new_token(), later(now, _LEASE_SECONDS)
    claims = [begin(job, owner="bench-worker", token=token, expires_at=expires_at, now=now) for job in jobs]
    return _Batch([job.id for job in jobs], claims, [_end(claim.after, later(now, 0.1)) for claim in claims])


def _end(job: Job, now: datetime) -> Transition:
    body = json.dumps({"jobId": job.id, "attempt": 1, "status": 200})
    outcome = of_answer(200, JobResult(200, body, truncated=False), None)
    return finish(job, outcome, rules=_RULES, jitter=0.0, token=new_token(), now=now)


def _jobs(count: int, payload: dict[str, object]) -> list[Job]:
    ids = JobIds()
    now = to_milliseconds(datetime.now(UTC))
    submission = Submission(queue="default", payload=json.loads(json.dumps(payload)))
    made = [
        new_job(submission, job_id=ids.new(now), token=new_token(), rules=_RULES, now=now)
        for _ in range(count)
    ]
    return [note_sent(job, now).after for job in made]


async def _pipeline(store: MongoJobStore, batches: Sequence[_Batch]) -> None:
    for batch in batches:
        found = await store.get_many(batch.ids)
        claimed = await store.apply(batch.claims)
        ended = await store.apply(batch.ends)
        if not (len(found) == len(batch.ids) and all(claimed) and all(ended)):
            raise BenchError(
                f"of {len(batch.ids)} jobs {len(found)} were read, {sum(claimed)} claimed, {sum(ended)} ended"
            )


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Fill a fresh database, run the operations, return how fast they were."""
    store = MongoJobStore(open_driver("pymongo", arguments.uri, arguments.database), guard_index=True)
    try:
        await store.prepare()
        jobs = _jobs(arguments.jobs, json.loads(arguments.payload))
        for start in range(0, len(jobs), _INSERT):
            await store.insert(jobs[start : start + _INSERT])
        starts = range(0, len(jobs), arguments.batch)
        batches = [_batch(jobs[start : start + arguments.batch]) for start in starts]
        started, cpu_before = time.monotonic(), time.process_time()
        lanes = arguments.pipelines
        await asyncio.gather(*(_pipeline(store, batches[lane::lanes]) for lane in range(lanes)))
        ended = time.monotonic()
        return {
            "jobs": len(jobs),
            "batch": arguments.batch,
            "pipelines": lanes,
            "started_at": started,
            "ended_at": ended,
            "jobs_per_second": len(jobs) / (ended - started),
            "client_cpu_seconds": time.process_time() - cpu_before,
        }
    finally:
        await store.close()


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(prog="python -m bench.database", description=__doc__)
    add = parser.add_argument
    add("--uri", required=True)
    add("--database", required=True)
    add("--jobs", type=int, default=2000)
    add("--batch", type=int, default=10)
    add("--pipelines", type=int, default=4, help="batches under way at once")
    add("--payload", default="{}")
    sys.stdout.write(json.dumps(uvloop.run(run(parser.parse_args()))) + "\n")


if __name__ == "__main__":
    main()
