"""Notes as updates: what is the same for many jobs is one statement.

Behind a busy API hundreds of jobs a second have nothing written to them but "sent at". One
`updateMany` by `_id` costs a server a fraction of as many single updates; its guard (status and
token, as everywhere) is evaluated inside the update, for each document by itself.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from pymongo import UpdateMany, UpdateOne

from jobqueue_core.adapters.mongo.documents import changes, to_update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.adapters.mongo.drivers import Document
    from jobqueue_core.domain.transitions import Transition

# Each document's token is looked for among all of them: longer lists cost more than they save.
_TOGETHER_MAX = 100

Update: TypeAlias = UpdateOne | UpdateMany


def to_updates(transitions: Sequence[Transition]) -> list[Update]:
    """Return the guarded writes of notes, those that say the same together."""
    updates: list[Update] = []
    alike: dict[str, list[Transition]] = defaultdict(list)
    for transition in transitions:
        update = changes(transition.before, transition.after)
        if transition.guard.with_expiry or not _is_plain(update):
            updates.append(to_update(transition))
        else:
            alike[f"{transition.guard.status} {update}"].append(transition)
    for group in alike.values():
        starts = range(0, len(group), _TOGETHER_MAX)
        updates += [_together(group[start : start + _TOGETHER_MAX]) for start in starts]
    return updates


def _is_plain(update: Document) -> bool:
    """Tell whether every value means itself inside an aggregation expression."""
    values = update.get("$set", {}).values()
    return "$push" not in update and all(isinstance(value, datetime | int | None) for value in values)


def _together(group: Sequence[Transition]) -> Update:
    first = group[0]
    if len(group) == 1:
        return to_update(first)
    update = changes(first.before, first.after)
    guard = {
        "$and": [
            {"$eq": ["$status", first.guard.status.value]},
            {"$in": ["$lease.token", [transition.guard.token for transition in group]]},
        ]
    }
    fields: dict[str, Any] = {
        name: {"$cond": [guard, value, f"${name}"]} for name, value in update.get("$set", {}).items()
    }
    for name in update.get("$unset", ()):
        fields[name] = {"$cond": [guard, "$$REMOVE", f"${name}"]}
    ids = [transition.before.id for transition in group]
    return UpdateMany({"_id": {"$in": ids}}, [{"$set": fields}])
