"""Transitions as guarded updates: what is the same for many jobs is one statement.

Behind a busy API hundreds of jobs a second have nothing written to them but "sent at", and the
claims of a batch differ in nothing but the job. One `updateMany` by `_id` costs a server a fraction
of as many single updates. Its guard is evaluated inside the update, for each document by itself
and atomically with the write, so it means the same as the filter of a single update.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

from pymongo import UpdateMany, UpdateOne

from jobqueue_core.adapters.mongo.documents import ABSENT_WHEN_NONE, STEPPED, attempt_document, encoded
from jobqueue_core.domain.job import HISTORY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobqueue_core.adapters.mongo.drivers import Document
    from jobqueue_core.domain.job import Job, Status
    from jobqueue_core.domain.transitions import Guard, Transition

# Each document is looked for among all of the group: longer lists cost more than they save.
_TOGETHER_MAX = 100

Update: TypeAlias = UpdateOne | UpdateMany
# What a step changes: field and new value, as the domain has it.
Changes: TypeAlias = tuple[tuple[str, Any], ...]


def to_updates(transitions: Sequence[Transition]) -> list[Update]:
    """Return the guarded writes; a write whose guard holds always modifies its document."""
    updates: list[Update] = []
    alike: dict[tuple[Status, bool, datetime | None, Changes], list[Transition]] = defaultdict(list)
    for transition in transitions:
        changes = _changes(transition.before, transition.after)
        if transition.after.history is not transition.before.history:
            updates.append(_alone(transition, changes))
        else:
            guard = transition.guard
            alike[guard.status, guard.with_expiry, guard.lease_expires_at, changes].append(transition)
    for (_, _, _, changes), group in alike.items():
        if len(group) == 1:
            updates.append(_alone(group[0], changes))
            continue
        starts = range(0, len(group), _TOGETHER_MAX)
        updates += [_together(group[start : start + _TOGETHER_MAX], changes) for start in starts]
    return updates


def _changes(before: Job, after: Job) -> Changes:
    """Return what differs: a step shares with the job before it whatever it leaves alone."""
    changes = tuple(
        [
            (name, value)
            for attribute, name in STEPPED
            if (value := getattr(after, attribute)) is not getattr(before, attribute)
        ]
    )
    # The driver refuses an update of nothing.
    return changes or (("updatedAt", after.updated_at),)


def _alone(transition: Transition, changes: Changes) -> UpdateOne:
    """Guard by `_id`, status, token and, where asked, the lease's end."""
    guard = transition.guard
    where: Document = {
        "_id": transition.before.id,
        "status": guard.status.value,
        "lease.token": guard.token,
    }
    if guard.with_expiry:
        where["lease.expiresAt"] = guard.lease_expires_at
    assign, remove = _split(changes)
    update: Document = {}
    if assign:
        update["$set"] = assign
    if remove:
        update["$unset"] = dict.fromkeys(remove, "")
    added = _added_to_history(transition.before, transition.after)
    if added:
        update["$push"] = {"history": {"$each": added, "$slice": -HISTORY_LIMIT}}
    return UpdateOne(where, update)


def _together(group: Sequence[Transition], changes: Changes) -> UpdateMany:
    holds = _guard(group[0].guard, [f"{one.before.id} {one.guard.token}" for one in group])
    assign, remove = _split(changes)
    fields: dict[str, Any] = {
        name: {"$cond": [holds, {"$literal": value}, f"${name}"]} for name, value in assign.items()
    }
    for name in remove:
        fields[name] = {"$cond": [holds, "$$REMOVE", f"${name}"]}
    return UpdateMany({"_id": {"$in": [one.before.id for one in group]}}, [{"$set": fields}])


def _split(changes: Changes) -> tuple[Document, list[str]]:
    """Return the fields to set, as documents have them, and those to remove."""
    assign: Document = {}
    remove: list[str] = []
    for name, value in changes:
        if value is None and name in ABSENT_WHEN_NONE:
            remove.append(name)
        else:
            assign[name] = encoded(value)
            if name == "phase":
                assign["status"] = value.status.value
    return assign, remove


def _added_to_history(before: Job, after: Job) -> list[Document]:
    if after.history is before.history:
        return []
    kept = len(before.history)
    added = after.history[kept:] if after.history[:kept] == before.history else after.history[-1:]
    return [attempt_document(attempt) for attempt in added]


def _guard(guard: Guard, tokens_by_id: list[str]) -> Document:
    """Return the condition: each job with its own token, all with the same status and lease end."""
    conditions: list[Document] = [
        {"$eq": ["$status", guard.status.value]},
        {"$in": [{"$concat": ["$_id", " ", "$lease.token"]}, tokens_by_id]},
    ]
    if guard.with_expiry:
        conditions.append({"$eq": ["$lease.expiresAt", guard.lease_expires_at]})
    return {"$and": conditions}
