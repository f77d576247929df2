"""The states of schedules on MongoDB: one small document each, found by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo.errors import DuplicateKeyError

from jobqueue_core.adapters.mongo.faults import unavailable
from jobqueue_core.domain.recurrence import ScheduleState

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobqueue_core.adapters.mongo.drivers import Document, Driver

SCHEDULES = "schedules"


class MongoScheduleStore:
    """Implements the port `ScheduleStore`."""

    def __init__(self, driver: Driver) -> None:
        """Use an open driver, which others share and close."""
        self._schedules = driver.collection(SCHEDULES)

    async def load(self, keys: Collection[str]) -> dict[str, ScheduleState]:
        """Find them by their ids in one command."""
        with unavailable("the schedules could not be read"):
            found = await self._schedules.find({"_id": {"$in": list(keys)}}).to_list()
        return {document["_id"]: _from_document(document) for document in found}

    async def save(self, state: ScheduleState) -> bool:
        """Insert the first version; replace any other where the one before it stands."""
        document = _to_document(state)
        with unavailable("the schedule could not be written"):
            if state.version == 1:
                try:
                    await self._schedules.insert_one(document)
                except DuplicateKeyError:
                    return False
                return True
            where = {"_id": state.key, "version": state.version - 1}
            return (await self._schedules.replace_one(where, document)).matched_count == 1


def _to_document(state: ScheduleState) -> Document:
    return {
        "_id": state.key,
        "times": state.times,
        "handledUntil": state.handled_until,
        "lastRun": state.last_run,
        "version": state.version,
    }


def _from_document(document: Document) -> ScheduleState:
    return ScheduleState(
        key=document["_id"],
        times=document["times"],
        handled_until=document["handledUntil"],
        last_run=document["lastRun"],
        version=document["version"],
    )
