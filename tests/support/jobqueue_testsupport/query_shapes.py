"""Which queries a MongoDB store makes, and whether an index serves them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo import monitoring

from jobqueue_core.adapters.mongo.indexes import Index, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RANGES = frozenset({"$gt", "$gte", "$lt", "$lte"})
_POINTS = frozenset({"$eq", "$in"})
_SESSION_FIELDS = frozenset(
    {"lsid", "$db", "$clusterTime", "txnNumber", "writeConcern", "ordered", "maxTimeMS"}
)
_SCANS = frozenset({"IXSCAN", "IDHACK", "COUNT_SCAN", "DISTINCT_SCAN", "TEXT_MATCH"})
_FORBIDDEN = frozenset({"COLLSCAN", "SORT"})

Command = dict[str, Any]


class QueryRecorder(monitoring.CommandListener):
    """Keeps the commands of clients made after it was registered, while it records."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self._database: str | None = None

    @contextmanager
    def recording(self, database: str) -> Iterator[list[Command]]:
        """Keep what is sent to that database meanwhile."""
        self.commands, self._database = [], database
        try:
            yield self.commands
        finally:
            self._database = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Keep a command that reads or writes by a filter."""
        if event.database_name == self._database and event.command_name in _FILTERS:
            kept = {name: value for name, value in event.command.items() if name not in _SESSION_FIELDS}
            self.commands.append(kept)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Need not be known."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Need not be known."""


_FILTERS = {
    "find": lambda command: [command.get("filter", {})],
    "update": lambda command: [each["q"] for each in command["updates"]],
    "delete": lambda command: [each["q"] for each in command["deletes"]],
    "aggregate": lambda command: [command["pipeline"][0]["$match"]],
    "findAndModify": lambda command: [command["query"]],
    "count": lambda command: [command.get("query", {})],
    "distinct": lambda command: [command.get("query", {})],
}


def shapes_of(command: Command) -> list[Shape]:
    """Return the shape of each filter in a command."""
    name = next(iter(command))
    sort = tuple((key, int(direction)) for key, direction in dict(command.get("sort", {})).items())
    # What an aggregation does with what it has matched; only the fields it names need be read.
    reads = frozenset(_fields(command.get("pipeline", [])[1:]))
    return [_shape(str(command[name]), where, sort, reads) for where in _FILTERS[name](command)]


def _fields(expression: object) -> Iterator[str]:
    """Yield the fields that an expression of an aggregation names."""
    if isinstance(expression, str) and expression.startswith("$"):
        yield expression[1:]
    elif isinstance(expression, dict):
        for part in expression.values():
            yield from _fields(part)
    elif isinstance(expression, list):
        for part in expression:
            yield from _fields(part)


def _shape(
    collection: str, where: Mapping[str, Any], sort: tuple[tuple[str, int], ...], reads: frozenset[str]
) -> Shape:
    equality, ranges = set(), set()
    for name, condition in where.items():
        operators = set(condition) if isinstance(condition, dict) else {"$eq"}
        if operators <= _POINTS:
            equality.add(name)
        elif operators <= _RANGES:
            ranges.add(name)
        else:
            raise ValueError(f"no shape is known for {name}: {condition}")
    return Shape(collection, frozenset(equality), sort, frozenset(ranges), reads)


def is_declared(shape: Shape, declared: Shape) -> bool:
    """Tell whether a query has a declared form; a bound that it leaves out widens the same scan."""
    return (shape.collection, shape.equality, shape.sort, shape.reads) == (
        declared.collection,
        declared.equality,
        declared.sort,
        declared.reads,
    ) and shape.range <= declared.range


def id_index(collection: str) -> Index:
    """Return the index that every collection has."""
    return Index(collection, "_id_", (("_id", 1),), (("unique", True),))


def serves(index: Index, shape: Shape) -> bool:
    """Tell whether an index serves a query without reading what does not match, or sorting.

    The keys are the equalities in any order, then the sort (or all of it reversed), then a range
    (MongoDB manual, "The ESR Guideline"); a range on what is sorted by only narrows the scan. A unique
    index within the equalities finds one document, whatever else is asked. An answer that is to come
    from the index alone needs every field in it.
    """
    names = [name for name, _ in index.keys]
    is_narrowed = bool(shape.equality or shape.sort or shape.range)
    if index.collection != shape.collection or not is_narrowed or not shape.reads.issubset(names):
        return False
    options = dict(index.options)
    compared = shape.equality | shape.range
    partial = options.get("partialFilterExpression")
    if isinstance(partial, dict) and not compared.issuperset(partial):
        return False
    if options.get("sparse") and not compared.intersection(names):
        return False
    if options.get("unique") and shape.equality.issuperset(names):
        return True
    first = len(shape.equality)
    if set(names[:first]) != shape.equality:
        return False
    last = first + len(shape.sort)
    given = index.keys[first:last]
    reverse = tuple((name, -direction) for name, direction in given)
    return shape.sort in (given, reverse) and shape.range <= set(names[first : last + 1])


def stages(plan: object) -> list[str]:
    """Return every stage in an explained winning plan, of the classic or the slot-based engine."""
    if isinstance(plan, list):
        return [stage for part in plan for stage in stages(part)]
    if not isinstance(plan, dict):
        return []
    if "winningPlan" in plan:
        return stages(plan["winningPlan"])
    own = [str(plan["stage"])] if "stage" in plan else []
    # rejectedPlans are not what runs; slotBasedPlan repeats the query plan as text.
    return own + [
        stage
        for name, part in plan.items()
        if name not in ("rejectedPlans", "slotBasedPlan", "command", "parsedQuery")
        for stage in stages(part)
    ]


def is_served(found: list[str]) -> bool:
    """Tell whether explained stages use an index and sort nothing in memory."""
    uses_index = any(stage in _SCANS or stage.startswith("EXPRESS") for stage in found)
    return uses_index and not _FORBIDDEN.intersection(found)
