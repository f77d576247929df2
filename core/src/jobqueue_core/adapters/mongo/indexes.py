"""Every index, and every query shape that one of them must serve.

Index keys follow equality, sort, range (MongoDB manual, "The ESR Guideline"). `$in` over a few
values counts as equality: the server merges the sorted scans (explode for sort), nothing is
sorted in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pymongo import ASCENDING, DESCENDING, IndexModel

JOBS = "jobs"
WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class Index:
    """One index of a collection.

    `options` are those of createIndexes: unique, sparse, expireAfterSeconds, ….
    """

    collection: str
    name: str
    keys: tuple[tuple[str, int], ...]
    options: tuple[tuple[str, object], ...] = ()

    def model(self) -> IndexModel:
        """Return what the driver takes."""
        return IndexModel(list(self.keys), name=self.name, **dict(self.options))


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of a query: which fields are compared how, and in what order answers come.

    `reads` are the fields that an answer is made of which comes from the index alone; empty, where
    whole documents are read.
    """

    collection: str
    equality: frozenset[str] = frozenset()
    sort: tuple[tuple[str, int], ...] = ()
    range: frozenset[str] = field(default_factory=frozenset)
    reads: frozenset[str] = field(default_factory=frozenset)


INDEXES: tuple[Index, ...] = (
    Index(JOBS, "phase_id", (("phase", ASCENDING), ("_id", DESCENDING))),
    Index(JOBS, "queue_id", (("queue", ASCENDING), ("_id", DESCENDING))),
    Index(JOBS, "queue_phase_id", (("queue", ASCENDING), ("phase", ASCENDING), ("_id", DESCENDING))),
    Index(JOBS, "queue_phase_sent", (("queue", ASCENDING), ("phase", ASCENDING), ("sentAt", ASCENDING))),
    # Only jobs that are owed something have the field: a few, however many are stored.
    Index(JOBS, "due", (("dueAt", ASCENDING),), (("sparse", True),)),
    Index(
        JOBS,
        "idempotency",
        (("queue", ASCENDING), ("idempotencyKey", ASCENDING)),
        (("unique", True), ("partialFilterExpression", {"idempotencyKey": {"$exists": True}})),
    ),
    Index(JOBS, "expire", (("expireAt", ASCENDING),), (("expireAfterSeconds", 0), ("sparse", True))),
    Index(WORKERS, "queue_seen", (("queue", ASCENDING), ("seenAt", ASCENDING))),
    Index(WORKERS, "expire", (("expireAt", ASCENDING),), (("expireAfterSeconds", 0),)),
)

# Not for MongoDB, whose guarded writes go by `_id` alone: a server whose planner scans unless one
# index covers the whole filter needs it (setting `mongodb.guard_index`).
GUARD_INDEX = Index(
    JOBS,
    "guard",
    (
        ("_id", ASCENDING),
        ("status", ASCENDING),
        ("lease.token", ASCENDING),
        ("lease.expiresAt", ASCENDING),
    ),
)

NEWEST_FIRST = (("_id", DESCENDING),)

SHAPES: dict[str, Shape] = {
    "by_id": Shape(JOBS, frozenset({"_id"})),
    "guarded_write": Shape(JOBS, frozenset({"_id", "status", "lease.token"})),
    "guarded_write_with_expiry": Shape(JOBS, frozenset({"_id", "status", "lease.token", "lease.expiresAt"})),
    "page": Shape(JOBS, frozenset(), NEWEST_FIRST, frozenset({"_id"})),
    "page_by_phase": Shape(JOBS, frozenset({"phase"}), NEWEST_FIRST, frozenset({"_id"})),
    "page_by_queue": Shape(JOBS, frozenset({"queue"}), NEWEST_FIRST, frozenset({"_id"})),
    "page_by_queue_and_phase": Shape(JOBS, frozenset({"queue", "phase"}), NEWEST_FIRST, frozenset({"_id"})),
    "due": Shape(JOBS, frozenset(), (("dueAt", ASCENDING),), frozenset({"dueAt"})),
    "waiting_since": Shape(
        JOBS, frozenset({"queue", "phase"}), (("sentAt", ASCENDING),), frozenset({"sentAt"})
    ),
    "count_by_phase": Shape(JOBS, frozenset({"queue", "phase"})),
    "backlogs": Shape(JOBS, frozenset({"queue", "phase"}), reads=frozenset({"queue", "phase", "_id"})),
    "oldest_waiting": Shape(JOBS, frozenset({"queue", "phase"}), (("_id", ASCENDING),)),
    "idempotency": Shape(JOBS, frozenset({"queue", "idempotencyKey"})),
    "worker_by_id": Shape(WORKERS, frozenset({"_id"})),
    "workers": Shape(WORKERS, frozenset({"queue"}), (), frozenset({"seenAt"})),
}
