"""The database's own limit: the three operations that a job needs of it, and nothing else.

    python -m bench.database --uri mongodb://… --jobs 2000 --batch 10 --pipelines 4

Read a batch of jobs, claim them, write their outcomes: the very documents and guards of a worker, made
before the clock starts, so that little but the server and its driver is at work. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvloop

from bench.figures import BenchError
from jobqueue_core.adapters.mongo.documents import to_document, to_update
from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.indexes import JOBS
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

    from pymongo import UpdateOne
    from pymongo.asynchronous.collection import AsyncCollection

    from jobqueue_core.adapters.mongo.drivers import Document
    from jobqueue_core.domain.job import Job

_LEASE_SECONDS = 60.0
_RULES = JobRules(
    retry=RetryPolicy(
        max_attempts=3, initial_seconds=2, max_seconds=300, factor=2, retry_after_max_seconds=3600
    ),
    retention=Retention(succeeded_seconds=604_800, failed_seconds=604_800, cancelled_seconds=604_800),
)


def _writes(job: Job) -> tuple[UpdateOne, UpdateOne]:
    """Return the claim of a sent job and the outcome of its first attempt."""
    now = to_milliseconds(datetime.now(UTC))
    claim = begin(
        job, owner="bench-worker", token=new_token(), expires_at=later(now, _LEASE_SECONDS), now=now
    )
    body = json.dumps({"jobId": job.id, "attempt": 1, "status": 200})
    outcome = of_answer(200, JobResult(200, body, truncated=False), None)
    end = finish(claim.after, outcome, rules=_RULES, jitter=0.0, token=new_token(), now=later(now, 0.1))
    return to_update(claim), to_update(end)


def _jobs(count: int, payload: dict[str, object]) -> list[Job]:
    ids = JobIds()
    now = to_milliseconds(datetime.now(UTC))
    submission = Submission(queue="default", payload=json.loads(json.dumps(payload)))
    made = [
        new_job(submission, job_id=ids.new(now), token=new_token(), rules=_RULES, now=now)
        for _ in range(count)
    ]
    return [replace(note_sent(job, now).after) for job in made]


async def _pipeline(
    jobs: AsyncCollection[Document], batches: Sequence[tuple[list[str], list[UpdateOne], list[UpdateOne]]]
) -> None:
    for ids, claims, ends in batches:
        found = await jobs.find({"_id": {"$in": ids}}).to_list()
        claimed = await jobs.bulk_write(claims, ordered=False)
        ended = await jobs.bulk_write(ends, ordered=False)
        if not len(found) == claimed.matched_count == ended.matched_count == len(ids):
            raise BenchError(
                f"of {len(ids)} jobs {len(found)} were read, {claimed.matched_count} claimed, "
                f"{ended.matched_count} ended"
            )


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Fill a fresh database, run the operations, return how fast they were."""
    driver = open_driver("pymongo", arguments.uri, arguments.database)
    store = MongoJobStore(driver, guard_index=True)
    try:
        await store.prepare()
        collection = driver.collection(JOBS)
        jobs = _jobs(arguments.jobs, json.loads(arguments.payload))
        for start in range(0, len(jobs), 200):
            await collection.insert_many([to_document(job) for job in jobs[start : start + 200]])
        batches = []
        for start in range(0, len(jobs), arguments.batch):
            batch = jobs[start : start + arguments.batch]
            writes = [_writes(job) for job in batch]
            batches.append(
                ([job.id for job in batch], [claim for claim, _ in writes], [end for _, end in writes])
            )
        started, cpu_before = time.monotonic(), time.process_time()
        lanes = arguments.pipelines
        await asyncio.gather(*(_pipeline(collection, batches[lane::lanes]) for lane in range(lanes)))
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
