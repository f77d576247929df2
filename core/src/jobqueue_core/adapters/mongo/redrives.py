"""Redrives on MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import ASCENDING, DESCENDING

from jobqueue_core.adapters.mongo.faults import unavailable
from jobqueue_core.adapters.mongo.indexes import INDEXES, REDRIVES
from jobqueue_core.domain.redrives import KEPT_SECONDS, Redrive, RedriveState, Selection
from jobqueue_core.domain.times import later

if TYPE_CHECKING:
    from jobqueue_core.adapters.mongo.drivers import Document, Driver


class MongoRedriveStore:
    """Implements the port `RedriveStore`."""

    def __init__(self, driver: Driver) -> None:
        """Use an open driver, which others share and close."""
        self._redrives = driver.collection(REDRIVES)

    async def prepare(self) -> None:
        """Create the declared indexes."""
        with unavailable("the indexes of redrives could not be created"):
            models = [index.model() for index in INDEXES if index.collection == REDRIVES]
            await self._redrives.create_indexes(models)

    async def create(self, task: Redrive) -> None:
        """Insert a task."""
        with unavailable("the redrive could not be stored"):
            await self._redrives.insert_one(_to_document(task))

    async def get(self, task_id: str) -> Redrive | None:
        """Find one task by its id."""
        with unavailable("the redrive could not be read"):
            document = await self._redrives.find_one({"_id": task_id})
        return None if document is None else _from_document(document)

    async def of_queue(self, queue: str, limit: int) -> list[Redrive]:
        """Read the newest of a queue."""
        with unavailable("the redrives could not be read"):
            found = await self._redrives.find({"queue": queue}).sort("_id", DESCENDING).limit(limit).to_list()
        return [_from_document(document) for document in found]

    async def running(self, limit: int) -> list[Redrive]:
        """Read the oldest that are not over."""
        where = {"state": RedriveState.RUNNING.value}
        with unavailable("the redrives could not be read"):
            found = await self._redrives.find(where).sort("_id", ASCENDING).limit(limit).to_list()
        return [_from_document(document) for document in found]

    async def write(self, before: Redrive, after: Redrive) -> bool:
        """Set what differs, guarded by state and token."""
        was, wanted = _to_document(before), _to_document(after)
        changes = {name: value for name, value in wanted.items() if name not in was or was[name] != value}
        where = {"_id": before.id, "state": RedriveState.RUNNING.value, "token": before.token}
        with unavailable("the redrive could not be written"):
            return (await self._redrives.update_one(where, {"$set": changes})).matched_count == 1


def _to_document(task: Redrive) -> Document:
    document: Document = {
        "_id": task.id,
        "queue": task.queue,
        "fingerprint": task.selection.fingerprint,
        "jobIds": list(task.selection.job_ids),
        "perSecond": task.per_second,
        "createdAt": task.created_at,
        "updatedAt": task.updated_at,
        "state": task.state.value,
        "cursor": task.cursor,
        "moved": task.moved,
        "skipped": task.skipped,
        "nextAt": task.next_at,
        "finishedAt": task.finished_at,
        "token": task.token,
        "leasedUntil": task.leased_until,
    }
    if task.finished_at is not None:
        document["expireAt"] = later(task.finished_at, KEPT_SECONDS)
    return document


def _from_document(document: Document) -> Redrive:
    return Redrive(
        id=document["_id"],
        queue=document["queue"],
        selection=Selection(document["fingerprint"], tuple(document["jobIds"])),
        per_second=document["perSecond"],
        created_at=document["createdAt"],
        updated_at=document["updatedAt"],
        state=RedriveState(document["state"]),
        cursor=document["cursor"],
        moved=document["moved"],
        skipped=document["skipped"],
        next_at=document["nextAt"],
        finished_at=document["finishedAt"],
        token=document["token"],
        leased_until=document["leasedUntil"],
    )
