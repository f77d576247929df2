"""The job store on MongoDB."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from jobqueue_core.adapters.mongo import documents
from jobqueue_core.adapters.mongo.faults import duplicates, unavailable
from jobqueue_core.adapters.mongo.indexes import GUARD_INDEX, INDEXES, JOBS, KEYS, RETIRED, WORKERS
from jobqueue_core.adapters.mongo.keys import IdempotencyKeys
from jobqueue_core.adapters.mongo.updates import to_updates
from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.heartbeat import PhaseCounts
from jobqueue_core.domain.ids import lowest_id_at
from jobqueue_core.domain.job import Phase
from jobqueue_core.ports.store import Inserted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jobqueue_core.adapters.mongo.drivers import Document, Driver
    from jobqueue_core.adapters.mongo.updates import Update
    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.transitions import Transition
    from jobqueue_core.ports.store import Backlog, FailureGroup, JobFilter

# What stood in the way may have been forgotten before it was read.
_INSERT_TRIES = 3
_NOT_THERE = frozenset({26, 27})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNFINISHED = [Phase.QUEUED.value, Phase.RUNNING.value, Phase.RETRYING.value]
_TRANSITION_FIELDS = {"lease": 1, "phase": 1, "dueAt": 1, "sentAt": 1}


class MongoJobStore:
    """Implements the port `JobStore`."""

    def __init__(self, driver: Driver, *, guard_index: bool = False) -> None:
        """Use an open driver, which the store closes.

        Args:
            driver: either of the two.
            guard_index: also create the index that only servers with a weak planner need.

        """
        self._driver = driver
        self._jobs = driver.collection(JOBS)
        self._workers = driver.collection(WORKERS)
        self.idempotency_keys = IdempotencyKeys(driver)
        self._indexes = (*INDEXES, GUARD_INDEX) if guard_index else INDEXES

    async def prepare(self) -> None:
        """Create the declared indexes, and drop those of earlier versions."""
        with unavailable("the indexes could not be created"):
            for collection, name in RETIRED:
                await self._drop(collection, name)
            for collection in (JOBS, KEYS, WORKERS):
                models = [index.model() for index in self._indexes if index.collection == collection]
                await self._driver.collection(collection).create_indexes(models)

    async def _drop(self, collection: str, index: str) -> None:
        try:
            await self._driver.collection(collection).drop_index(index)
        except OperationFailure as error:
            if error.code not in _NOT_THERE:
                raise

    async def ping(self) -> None:
        """Ask the primary whether it is there."""
        with unavailable("the database does not answer"):
            hello = await self._driver.command("hello")
        if not hello.get("isWritablePrimary"):
            msg = "the database has no primary that takes writes"
            raise StoreUnavailableError(msg)

    async def time(self) -> datetime:
        """Read the primary's clock (`localTime` of hello; MongoDB manual, "hello")."""
        with unavailable("the database does not answer"):
            told: datetime = (await self._driver.command("hello"))["localTime"]
        # An embedded server's answer, or a driver's, may come without its zone: it is UTC.
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)

    async def insert(self, jobs: Sequence[Job]) -> list[Inserted]:
        """Insert in one command, each job under the id that its idempotency key stands for, if it has one."""
        there: dict[int, Job] = {}
        with unavailable("the jobs could not be stored"):
            placed = await self.idempotency_keys.placed(jobs)
            waiting = list(range(len(placed)))
            for _ in range(_INSERT_TRIES):
                taken = await self._taken(placed, waiting)
                stored = await self.get_many([placed[position].id for position in taken]) if taken else {}
                there |= {
                    position: stored[placed[position].id]
                    for position in taken
                    if placed[position].id in stored
                }
                waiting = [position for position in taken if position not in there]
                if not waiting:
                    break
            else:
                msg = f"what stood in the way of {placed[waiting[0]].id} is gone each time, submit again"
                raise StoreUnavailableError(msg)
        return [
            Inserted(there.get(position, job), created=position not in there)
            for position, job in enumerate(placed)
        ]

    async def _taken(self, jobs: Sequence[Job], positions: Sequence[int]) -> list[int]:
        """Insert the jobs at these positions; return the positions of those whose id is there."""
        if not positions:
            return []
        rows = [documents.to_document(jobs[position]) for position in positions]
        try:
            await self._jobs.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            return [positions[entry] for entry in sorted(duplicates(error))]
        return []

    async def get(self, job_id: str) -> Job | None:
        """Find one job by its id."""
        with unavailable("the job could not be read"):
            document = await self._jobs.find_one({"_id": job_id})
        return None if document is None else documents.from_document(document)

    async def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Find jobs by their ids in one command."""
        with unavailable("the jobs could not be read"):
            found = await self._jobs.find({"_id": {"$in": list(job_ids)}}).to_list()
        return {document["_id"]: documents.from_document(document) for document in found}

    async def apply(self, transitions: Sequence[Transition]) -> list[bool]:
        """Write the batch in one command, each job by an atomic guarded update.

        The answer of a batch says only how many were modified; where not all were, the tokens are
        read back. That also makes it safe to apply the same transition again after a lost answer.
        """
        if not transitions:
            return []
        with unavailable("the jobs could not be written"):
            if await self._write(to_updates(transitions)) == len(transitions):
                return [True] * len(transitions)
            ids = [transition.before.id for transition in transitions]
            found = await self._jobs.find({"_id": {"$in": ids}}, _TRANSITION_FIELDS).to_list()
        stored = {document["_id"]: document for document in found}
        return [_landed(transition.after, stored.get(transition.before.id)) for transition in transitions]

    async def offer(self, transitions: Sequence[Transition]) -> None:
        """Write the batch in one command."""
        if not transitions:
            return
        with unavailable("the jobs could not be written"):
            await self._write(to_updates(transitions))

    async def _write(self, updates: Sequence[Update]) -> int:
        """Write once more when the connection broke before the answer; return how many were modified.

        The drivers do so by themselves for single updates only, not for `updateMany` (MongoDB manual,
        "Retryable Writes"). It is safe: what has landed has another token and matches nothing.
        """
        try:
            result = await self._jobs.bulk_write(updates, ordered=False)
        except (ServerSelectionTimeoutError, NetworkTimeout):
            # The time is up already.
            raise
        except AutoReconnect:
            result = await self._jobs.bulk_write(updates, ordered=False)
        return result.modified_count

    async def page(self, which: JobFilter, *, limit: int, before: str | None = None) -> list[Job]:
        """Read one page by an index that gives the order."""
        where = _page_filter(which, before)
        with unavailable("the jobs could not be read"):
            found = await self._jobs.find(where).sort("_id", DESCENDING).limit(limit).to_list()
        return [documents.from_document(document) for document in found]

    async def failed_after(
        self, queue: str, *, limit: int, fingerprint: str | None = None, after: str | None = None
    ) -> list[Job]:
        """Read failed jobs by an index that gives the order."""
        where: Document = {"queue": queue, "phase": Phase.FAILED.value}
        if fingerprint is not None:
            where["lastError.fingerprint"] = fingerprint
        if after is not None:
            where["_id"] = {"$gt": after}
        with unavailable("the failed jobs could not be read"):
            found = await self._jobs.find(where).sort("_id", ASCENDING).limit(limit).to_list()
        return [documents.from_document(document) for document in found]

    async def failed_count(self, queue: str) -> int:
        """Count by index."""
        with unavailable("the failed jobs could not be counted"):
            return await self._jobs.count_documents({"queue": queue, "phase": Phase.FAILED.value})

    async def failure_groups(self, queue: str, limit: int) -> list[FailureGroup]:
        """Group in one aggregation, by the index alone."""
        where = {
            "queue": queue,
            "phase": Phase.FAILED.value,
            # Says that there is one: the condition under which a job is in the index.
            "lastError.fingerprint": {"$gt": ""},
        }
        group = {
            "_id": "$lastError.fingerprint",
            "count": {"$sum": 1},
            "oldest": {"$min": "$_id"},
            "newest": {"$max": "$_id"},
            "firstFailedAt": {"$min": "$finishedAt"},
            "lastFailedAt": {"$max": "$finishedAt"},
        }
        largest = {"count": DESCENDING, "_id": ASCENDING}
        steps: list[Document] = [
            {"$match": where},
            {"$group": group},
            {"$sort": largest},
            {"$limit": limit},
        ]
        with unavailable("the failed jobs could not be grouped"):
            groups = await self._driver.aggregate(JOBS, steps)
        return [documents.failure_group_from(each) for each in groups]

    async def due(self, now: datetime, limit: int) -> list[Job]:
        """Read what is owed."""
        # Both ends are given: an embedded server scans an open range.
        where = {"dueAt": {"$gt": _EPOCH, "$lte": now}}
        with unavailable("the due jobs could not be read"):
            found = await self._jobs.find(where).sort("dueAt", ASCENDING).limit(limit).to_list()
        return [documents.from_document(document) for document in found]

    async def waiting_since(self, queue: str, sent_before: datetime, limit: int) -> list[Job]:
        """Read what has been in the queue for long."""
        where = {
            "queue": queue,
            "phase": {"$in": [Phase.QUEUED.value, Phase.RETRYING.value]},
            "sentAt": {"$gt": _EPOCH, "$lt": sent_before},
        }
        with unavailable("the waiting jobs could not be read"):
            found = await self._jobs.find(where).sort("sentAt", ASCENDING).limit(limit).to_list()
        return [documents.from_document(document) for document in found]

    async def first_of_keys(self, jobs: Sequence[Job]) -> dict[str, Job]:
        """Look for the first job before each, by an index of jobs with a key."""

        async def first_before(job: Job) -> list[Document]:
            where = {
                "queue": job.queue,
                "orderingKey": job.ordering_key,
                "phase": {"$in": _UNFINISHED},
                "_id": {"$lt": job.id},
            }
            return await self._jobs.find(where).sort("_id", ASCENDING).limit(1).to_list()

        keyed = [job for job in jobs if job.ordering_key is not None]
        with unavailable("the jobs before others could not be read"):
            found = await asyncio.gather(*(first_before(job) for job in keyed))
        return {
            job.id: documents.from_document(documents_before[0])
            for job, documents_before in zip(keyed, found, strict=True)
            if documents_before
        }

    async def counts(self, queue: str) -> PhaseCounts:
        """Count by index, one covered count a phase."""
        with unavailable("the jobs could not be counted"):
            numbers = await asyncio.gather(
                *(self._jobs.count_documents({"queue": queue, "phase": phase.value}) for phase in Phase)
            )
        return PhaseCounts(**{phase.value: number for phase, number in zip(Phase, numbers, strict=True)})

    async def unfinished(self, queue: str, limit: int) -> int:
        """Count by index and stop at the limit."""
        where = {"queue": queue, "phase": {"$in": _UNFINISHED}}
        with unavailable("the jobs could not be counted"):
            return await self._jobs.count_documents(where, limit=limit)

    async def oldest_waiting(self, queue: str) -> datetime | None:
        """Read the lowest id among the queued."""
        where = {"queue": queue, "phase": Phase.QUEUED.value}
        with unavailable("the oldest job could not be read"):
            found = await self._jobs.find(where, {"createdAt": 1}).sort("_id", ASCENDING).limit(1).to_list()
        return cast("datetime", found[0]["createdAt"]) if found else None

    async def backlogs(self, queues: Collection[str]) -> dict[str, Backlog]:
        """Count and find the lowest ids in one aggregation, by the index alone."""
        where = {"queue": {"$in": list(queues)}, "phase": {"$in": _UNFINISHED}}
        group = {
            "_id": {"queue": "$queue", "phase": "$phase"},
            "count": {"$sum": 1},
            # An id tells when its job was made, and is in the index.
            "lowest": {"$min": "$_id"},
        }
        with unavailable("the jobs could not be counted"):
            groups = await self._driver.aggregate(JOBS, [{"$match": where}, {"$group": group}])
        return documents.backlogs_from(queues, groups)

    async def beat(self, heartbeat: Heartbeat, ttl_seconds: float) -> None:
        """Replace the worker's document."""
        expire_at = heartbeat.seen_at + timedelta(seconds=ttl_seconds)
        document = documents.heartbeat_document(heartbeat, expire_at)
        with unavailable("the heartbeat could not be written"):
            await self._workers.replace_one({"_id": heartbeat.worker}, document, upsert=True)

    async def leave(self, worker: str) -> None:
        """Delete the worker's document."""
        with unavailable("the heartbeat could not be deleted"):
            await self._workers.delete_one({"_id": worker})

    async def workers(self, queue: str, seen_after: datetime) -> list[Heartbeat]:
        """Read the queue's live workers."""
        with unavailable("the heartbeats could not be read"):
            found = await self._workers.find({"queue": queue, "seenAt": {"$gt": seen_after}}).to_list()
        return [documents.heartbeat_from(document) for document in found]

    async def workers_of(self, queues: Collection[str], seen_after: datetime) -> list[Heartbeat]:
        """Read the queues' live workers in one query."""
        where = {"queue": {"$in": list(queues)}, "seenAt": {"$gt": seen_after}}
        with unavailable("the heartbeats could not be read"):
            found = await self._workers.find(where).to_list()
        return [documents.heartbeat_from(document) for document in found]

    async def close(self) -> None:
        """Close the driver."""
        await self._driver.close()


def _landed(after: Job, document: Document | None) -> bool:
    return document is not None and (
        document["lease"]["token"] == after.lease.token
        and document["lease"]["expiresAt"] == after.lease.expires_at
        and document["phase"] == after.phase.value
        and document.get("dueAt") == after.due_at
        and document.get("sentAt") == after.sent_at
    )


def _page_filter(which: JobFilter, before: str | None) -> Document:
    where: Document = {}
    if which.queue is not None:
        where["queue"] = which.queue
    if which.phase is not None:
        where["phase"] = which.phase.value
    elif which.status is not None:
        phases = [phase.value for phase in Phase if phase.status is which.status]
        where["phase"] = phases[0] if len(phases) == 1 else {"$in": phases}
    if which.fingerprint is not None:
        where["lastError.fingerprint"] = which.fingerprint
    bounds: Document = {}
    if which.created_from is not None:
        bounds["$gte"] = lowest_id_at(which.created_from)
    ends = [before] if before is not None else []
    if which.created_before is not None:
        ends.append(lowest_id_at(which.created_before))
    if ends:
        bounds["$lt"] = min(ends)
    if bounds:
        where["_id"] = bounds
    return where
