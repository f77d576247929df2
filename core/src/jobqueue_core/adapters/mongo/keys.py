"""Idempotency keys: each names, for as long as it stands, the id of the one job that it is for.

A key is a document of its own, made before the job. Whoever comes second reads from it under which id to
store its own job; the id is unique, so that there is one job, whoever of them stores it and whoever dies
in between. A key whose time is over is deleted by whoever comes next, or by the TTL index.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pymongo import DeleteOne
from pymongo.errors import BulkWriteError

from jobqueue_core import failpoints
from jobqueue_core.adapters.mongo.faults import duplicates
from jobqueue_core.adapters.mongo.indexes import KEYS
from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.submission import is_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.adapters.mongo.drivers import Document, Driver
    from jobqueue_core.domain.job import Job

# Between two tries somebody else has taken the key, or it has been forgotten.
_TRIES = 5


class IdempotencyKeys:
    """Says under which id a job with an idempotency key is to be stored."""

    def __init__(self, driver: Driver) -> None:
        """Use an open driver."""
        self._keys = driver.collection(KEYS)

    async def placed(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs, in order, each under the id that its key stands for.

        Raises:
            PyMongoError: the driver's, as they are.
            StoreUnavailableError: a key changed hands at each try.

        """
        ids: dict[str, str] = {}
        waiting = [job for job in jobs if job.idempotency_key is not None]
        for _ in range(_TRIES):
            if not waiting:
                failpoints.hit("api.after_key")
                return [replace(job, id=ids[job.id]) if job.id in ids else job for job in jobs]
            waiting = await self._take(waiting, ids)
        msg = f"the idempotency key of {waiting[0].id} changed hands at each try, submit again"
        raise StoreUnavailableError(msg)

    async def _take(self, jobs: Sequence[Job], ids: dict[str, str]) -> list[Job]:
        """Take free keys, put down the ids that the others stand for; return who has to try again."""
        taken = await self._insert(jobs)
        if not taken:
            return []
        names = list({_name(job) for job in taken})
        held = {key["_id"]: key for key in await self._keys.find({"_id": {"$in": names}}).to_list()}
        again: list[Job] = []
        over: dict[str, str] = {}
        for job in taken:
            key = held.get(_name(job))
            if key is None:
                again.append(job)
            elif is_over(key["until"], job.created_at):
                over[key["_id"]] = key["jobId"]
                again.append(job)
            else:
                ids[job.id] = key["jobId"]
        if over:
            # With the job's id: whoever deletes a moment later does not hit the key's next holder.
            deletes = [DeleteOne({"_id": name, "jobId": job_id}) for name, job_id in over.items()]
            await self._keys.bulk_write(deletes, ordered=False)
        return again

    async def _insert(self, jobs: Sequence[Job]) -> list[Job]:
        """Insert the keys; return the jobs whose key is there."""
        try:
            await self._keys.insert_many([_document(job) for job in jobs], ordered=False)
        except BulkWriteError as error:
            return [jobs[position] for position in sorted(duplicates(error))]
        return []


def _name(job: Job) -> str:
    """Return the name of a job's key: no queue has a space in its name."""
    return f"{job.queue} {job.idempotency_key}"


def _document(job: Job) -> Document:
    return {"_id": _name(job), "jobId": job.id, "until": job.idempotency_until}
