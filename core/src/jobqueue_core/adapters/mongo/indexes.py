"""Every index, and every query shape that one of them must serve.

Index keys follow equality, sort, range (MongoDB manual, "The ESR Guideline"). `$in` over a few
values counts as equality: the server merges the sorted scans (explode for sort), nothing is
sorted in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pymongo import ASCENDING, DESCENDING, IndexModel

JOBS = "jobs"
KEYS = "keys"
WORKERS = "workers"
REDRIVES = "redrives"


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
        "order",
        (("queue", ASCENDING), ("orderingKey", ASCENDING), ("phase", ASCENDING), ("_id", ASCENDING)),
        # Most jobs have no key, and pay nothing.
        (("partialFilterExpression", {"orderingKey": {"$type": "string"}}),),
    ),
    Index(JOBS, "expire", (("expireAt", ASCENDING),), (("expireAfterSeconds", 0), ("sparse", True))),
    # Only jobs that have failed have the field, so that nothing is paid for the others. The time makes the
    # groups an answer from the index alone.
    Index(
        JOBS,
        "failures",
        (
            ("queue", ASCENDING),
            ("phase", ASCENDING),
            ("lastError.fingerprint", ASCENDING),
            ("_id", DESCENDING),
            ("finishedAt", ASCENDING),
        ),
        (("partialFilterExpression", {"lastError.fingerprint": {"$exists": True}}),),
    ),
    Index(KEYS, "expire", (("until", ASCENDING),), (("expireAfterSeconds", 0),)),
    Index(WORKERS, "queue_seen", (("queue", ASCENDING), ("seenAt", ASCENDING))),
    Index(WORKERS, "expire", (("expireAt", ASCENDING),), (("expireAfterSeconds", 0),)),
    Index(REDRIVES, "state_id", (("state", ASCENDING), ("_id", ASCENDING))),
    Index(REDRIVES, "queue_id", (("queue", ASCENDING), ("_id", DESCENDING))),
    Index(REDRIVES, "expire", (("expireAt", ASCENDING),), (("expireAfterSeconds", 0), ("sparse", True))),
)

# Declared by earlier versions; still there, it would refuse what is allowed now.
RETIRED = ((JOBS, "idempotency"),)

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
OLDEST_FIRST = (("_id", ASCENDING),)
_FAILURES = frozenset({"queue", "phase", "lastError.fingerprint"})

SHAPES: dict[str, Shape] = {
    "by_id": Shape(JOBS, frozenset({"_id"})),
    "guarded_write": Shape(JOBS, frozenset({"_id", "status", "lease.token"})),
    "guarded_write_with_expiry": Shape(JOBS, frozenset({"_id", "status", "lease.token", "lease.expiresAt"})),
    "page": Shape(JOBS, frozenset(), NEWEST_FIRST, frozenset({"_id"})),
    "page_by_phase": Shape(JOBS, frozenset({"phase"}), NEWEST_FIRST, frozenset({"_id"})),
    "page_by_queue": Shape(JOBS, frozenset({"queue"}), NEWEST_FIRST, frozenset({"_id"})),
    "page_by_queue_and_phase": Shape(JOBS, frozenset({"queue", "phase"}), NEWEST_FIRST, frozenset({"_id"})),
    "page_of_failures": Shape(JOBS, _FAILURES, NEWEST_FIRST, frozenset({"_id"})),
    "failed_after": Shape(JOBS, frozenset({"queue", "phase"}), OLDEST_FIRST, frozenset({"_id"})),
    "failed_after_of_group": Shape(JOBS, _FAILURES, OLDEST_FIRST, frozenset({"_id"})),
    "failure_groups": Shape(
        JOBS,
        frozenset({"queue", "phase"}),
        range=frozenset({"lastError.fingerprint"}),
        reads=frozenset({"lastError.fingerprint", "_id", "finishedAt"}),
    ),
    "due": Shape(JOBS, frozenset(), (("dueAt", ASCENDING),), frozenset({"dueAt"})),
    "waiting_since": Shape(
        JOBS, frozenset({"queue", "phase"}), (("sentAt", ASCENDING),), frozenset({"sentAt"})
    ),
    "first_of_key": Shape(
        JOBS, frozenset({"queue", "orderingKey", "phase"}), (("_id", ASCENDING),), frozenset({"_id"})
    ),
    "count_by_phase": Shape(JOBS, frozenset({"queue", "phase"})),
    "backlogs": Shape(JOBS, frozenset({"queue", "phase"}), reads=frozenset({"queue", "phase", "_id"})),
    "oldest_waiting": Shape(JOBS, frozenset({"queue", "phase"}), (("_id", ASCENDING),)),
    "key_by_name": Shape(KEYS, frozenset({"_id"})),
    "key_that_is_over": Shape(KEYS, frozenset({"_id", "jobId"})),
    "redrive_by_id": Shape(REDRIVES, frozenset({"_id"})),
    "redrive_write": Shape(REDRIVES, frozenset({"_id", "state", "token"})),
    "redrives_of_queue": Shape(REDRIVES, frozenset({"queue"}), NEWEST_FIRST),
    "redrives_running": Shape(REDRIVES, frozenset({"state"}), OLDEST_FIRST),
    "worker_by_id": Shape(WORKERS, frozenset({"_id"})),
    "workers": Shape(WORKERS, frozenset({"queue"}), (), frozenset({"seenAt"})),
}
