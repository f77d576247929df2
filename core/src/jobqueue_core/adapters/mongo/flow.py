"""Flow states on MongoDB: one small document a queue, found by its id and swapped by its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo.errors import DuplicateKeyError

from jobqueue_core.adapters.mongo.faults import unavailable
from jobqueue_core.domain.circuit import Circuit, Counts, Probe
from jobqueue_core.domain.flow import FlowState
from jobqueue_core.domain.shares import Holder

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobqueue_core.adapters.mongo.drivers import Document, Driver

FLOW = "flow"


class MongoFlowStore:
    """Implements the port `FlowStore`."""

    def __init__(self, driver: Driver) -> None:
        """Use an open driver, which others share and close."""
        self._flow = driver.collection(FLOW)

    async def load(self, queue: str) -> FlowState | None:
        """Find it by its id."""
        with unavailable("the flow state could not be read"):
            document = await self._flow.find_one({"_id": queue})
        return None if document is None else _from_document(document)

    async def load_many(self, queues: Collection[str]) -> dict[str, FlowState]:
        """Find them by their ids in one command."""
        with unavailable("the flow states could not be read"):
            found = await self._flow.find({"_id": {"$in": list(queues)}}).to_list()
        return {document["_id"]: _from_document(document) for document in found}

    async def swap(self, before: FlowState, after: FlowState) -> bool:
        """Insert the first version; change any other where the one before it stands."""
        fields = _to_fields(after)
        with unavailable("the flow state could not be written"):
            if before.version == 0:
                try:
                    await self._flow.insert_one({"_id": after.queue, **fields})
                except DuplicateKeyError:
                    return False
                return True
            where = {"_id": before.queue, "version": before.version}
            return (await self._flow.update_one(where, {"$set": fields})).matched_count == 1


def _to_fields(state: FlowState) -> Document:
    """Return the fields but the id; times as numbers, for a rate needs more than a date's milliseconds."""
    circuit, probe = state.circuit, state.circuit.probe
    return {
        "version": state.version,
        "nextAt": state.next_at,
        "pausedUntil": state.paused_until,
        "holders": [
            {"worker": each.worker, "held": each.held, "wanted": each.wanted, "expiresAt": each.expires_at}
            for each in state.holders
        ],
        "circuit": {
            "openUntil": circuit.open_until,
            "probe": None if probe is None else {"worker": probe.worker, "deadline": probe.deadline},
            "window": [{"at": part.at, "ok": part.ok, "failed": part.failed} for part in circuit.window],
        },
    }


def _from_document(document: Document) -> FlowState:
    circuit, probe = document["circuit"], document["circuit"]["probe"]
    return FlowState(
        queue=document["_id"],
        version=document["version"],
        next_at=document["nextAt"],
        holders=tuple(
            Holder(each["worker"], each["held"], each["wanted"], each["expiresAt"])
            for each in document["holders"]
        ),
        circuit=Circuit(
            circuit["openUntil"],
            None if probe is None else Probe(probe["worker"], probe["deadline"]),
            tuple(Counts(part["at"], part["ok"], part["failed"]) for part in circuit["window"]),
        ),
        paused_until=document["pausedUntil"],
    )
