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

from jobqueue_core.adapters.mongo.documents import changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.adapters.mongo.drivers import Document
    from jobqueue_core.domain.transitions import Guard, Transition

# Each document is looked for among all of the group: longer lists cost more than they save.
_TOGETHER_MAX = 100

Update: TypeAlias = UpdateOne | UpdateMany


def to_updates(transitions: Sequence[Transition]) -> list[Update]:
    """Return the guarded writes; a write whose guard holds always modifies its document."""
    updates: list[Update] = []
    alike: dict[str, list[tuple[Transition, Document]]] = defaultdict(list)
    for transition in transitions:
        update = changes(transition.before, transition.after)
        if "$push" in update:
            updates.append(_alone(transition, update))
        else:
            guard = transition.guard
            expiry = guard.lease_expires_at if guard.with_expiry else ""
            alike[f"{guard.status} {expiry} {update}"].append((transition, update))
    for group in alike.values():
        if len(group) == 1:
            updates.append(_alone(*group[0]))
            continue
        update = group[0][1]
        members = [transition for transition, _ in group]
        starts = range(0, len(members), _TOGETHER_MAX)
        updates += [_together(members[start : start + _TOGETHER_MAX], update) for start in starts]
    return updates


def _alone(transition: Transition, update: Document) -> UpdateOne:
    """Guard by `_id`, status, token and, where asked, the lease's end."""
    guard = transition.guard
    where: Document = {
        "_id": transition.before.id,
        "status": guard.status.value,
        "lease.token": guard.token,
    }
    if guard.with_expiry:
        where["lease.expiresAt"] = guard.lease_expires_at
    return UpdateOne(where, update)


def _together(group: Sequence[Transition], update: Document) -> UpdateMany:
    holds = _guard(group[0].guard, [f"{one.before.id} {one.guard.token}" for one in group])
    fields: dict[str, Any] = {
        name: {"$cond": [holds, {"$literal": value}, f"${name}"]}
        for name, value in update.get("$set", {}).items()
    }
    for name in update.get("$unset", ()):
        fields[name] = {"$cond": [holds, "$$REMOVE", f"${name}"]}
    return UpdateMany({"_id": {"$in": [one.before.id for one in group]}}, [{"$set": fields}])


def _guard(guard: Guard, tokens_by_id: list[str]) -> Document:
    """Return the condition: each job with its own token, all with the same status and lease end."""
    conditions: list[Document] = [
        {"$eq": ["$status", guard.status.value]},
        {"$in": [{"$concat": ["$_id", " ", "$lease.token"]}, tokens_by_id]},
    ]
    if guard.with_expiry:
        conditions.append({"$eq": ["$lease.expiresAt", guard.lease_expires_at]})
    return {"$and": conditions}
