"""The rule by which indexes are held against queries, itself held against cases."""

from __future__ import annotations

import pytest

from jobqueue_core.adapters.mongo.indexes import Index, Shape
from jobqueue_testsupport.query_shapes import id_index, is_declared, is_served, serves, shapes_of, stages

NEWEST = (("_id", -1),)


def index(*keys: str, **options: object) -> Index:
    return Index(
        "c",
        "i",
        tuple((key.strip("-"), -1 if key.startswith("-") else 1) for key in keys),
        (*options.items(),),
    )


def shape(
    equality: str = "", sort: tuple[tuple[str, int], ...] = (), ranges: str = "", reads: str = ""
) -> Shape:
    return Shape("c", frozenset(equality.split()), sort, frozenset(ranges.split()), frozenset(reads.split()))


@pytest.mark.parametrize(
    ("keys", "asked", "is_good"),
    [
        (index("a"), shape("a"), True),
        (index("a", "b"), shape("a"), True),
        (index("a", "b"), shape("a b"), True),
        (index("b", "a"), shape("a b"), True),
        (index("b", "a"), shape("a"), False),
        (index("a"), shape("a b"), False),
        (index("a"), shape(), False),
        (index("a", "s"), shape("a", (("s", 1),)), True),
        (index("a", "s"), shape("a", (("s", -1),)), True),
        (index("a", "s", "t"), shape("a", (("s", 1), ("t", -1))), False),
        (index("a", "s", "-t"), shape("a", (("s", -1), ("t", 1))), True),
        (index("a", "x", "s"), shape("a", (("s", 1),)), False),
        (index("s"), shape("", (("s", -1),)), True),
        (index("a", "r"), shape("a", (), "r"), True),
        (index("r", "a"), shape("a", (), "r"), False),
        (index("a", "s", "r"), shape("a", (("s", 1),), "r"), True),
        (index("a", "r", "s"), shape("a", (("s", 1),), "r"), False),
        (index("a", "s"), shape("a", (("s", 1),), "s"), True),
        (index("a", "s"), shape("a", (("s", 1),), "q"), False),
        (index("s", sparse=True), shape("", (("s", 1),), "s"), True),
        (index("s", sparse=True), shape("", (("s", 1),)), False),
        (index("a", "k", partialFilterExpression={"k": 1}), shape("a k"), True),
        (index("a", "k", partialFilterExpression={"k": 1}), shape("a"), False),
        (index("a", unique=True), shape("a b", (("s", 1),), "r"), True),
        (id_index("c"), shape("_id status"), True),
        (id_index("c"), shape("", NEWEST, "_id"), True),
        (id_index("other"), shape("_id"), False),
        (index("a", "k"), shape("a", reads="a k"), True),
        (index("a", "k"), shape("a", reads="k l"), False),
        (index("a", unique=True), shape("a", reads="b"), False),
    ],
    ids=range(30),
)
def test_which_index_serves_which_query(keys: Index, asked: Shape, is_good: bool) -> None:  # noqa: FBT001
    assert serves(keys, asked) is is_good


@pytest.mark.parametrize(
    ("command", "shapes"),
    [
        (
            {"find": "c", "filter": {"a": 1, "b": {"$in": [1]}, "r": {"$gt": 1, "$lte": 2}}},
            [shape("a b", (), "r")],
        ),
        ({"find": "c", "filter": {"a": None}, "sort": {"_id": -1}}, [shape("a", NEWEST)]),
        ({"find": "c", "filter": {}, "sort": {"_id": -1}}, [shape("", NEWEST)]),
        (
            {"update": "c", "updates": [{"q": {"_id": 1}}, {"q": {"_id": 1, "s": 2}}]},
            [shape("_id"), shape("_id s")],
        ),
        ({"delete": "c", "deletes": [{"q": {"_id": 1}, "limit": 1}]}, [shape("_id")]),
        ({"aggregate": "c", "pipeline": [{"$match": {"a": 1}}, {"$limit": 9}]}, [shape("a")]),
        (
            {
                "aggregate": "c",
                "pipeline": [
                    {"$match": {"a": 1}},
                    {"$group": {"_id": {"b": "$b"}, "n": {"$sum": 1}, "l": {"$max": ["$c.d", 0]}}},
                ],
            },
            [shape("a", reads="b c.d")],
        ),
    ],
    ids=["find", "null", "all", "update", "delete", "count", "group"],
)
def test_the_shape_of_a_command(command: dict[str, object], shapes: list[Shape]) -> None:
    assert shapes_of(command) == shapes


@pytest.mark.parametrize("condition", [{"$ne": 1}, {"$exists": True}, {"$regex": "x"}, {"nested": 1}])
def test_a_condition_without_a_shape_is_refused(condition: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no shape is known for a"):
        shapes_of({"find": "c", "filter": {"a": condition}})


def test_a_declared_shape_may_be_asked_without_its_bounds() -> None:
    declared = shape("a", NEWEST, "_id")
    assert is_declared(shape("a", NEWEST, "_id"), declared)
    assert is_declared(shape("a", NEWEST), declared)
    assert not is_declared(shape("a", NEWEST, "r"), declared)
    assert not is_declared(shape("a", (), "_id"), declared)
    assert not is_declared(shape("a b", NEWEST, "_id"), declared)
    assert not is_declared(shape("a", NEWEST, "_id", "a"), declared)


CLASSIC = {
    "queryPlanner": {
        "winningPlan": {
            "stage": "LIMIT",
            "inputStage": {
                "stage": "FETCH",
                "inputStage": {"stage": "SORT_MERGE", "inputStages": [{"stage": "IXSCAN"}]},
            },
        },
        "rejectedPlans": [{"stage": "SORT", "inputStage": {"stage": "COLLSCAN"}}],
    },
    "command": {"stage": "COLLSCAN"},
}
SLOT_BASED = {
    "stages": [
        {
            "$cursor": {
                "queryPlanner": {
                    "winningPlan": {
                        "queryPlan": {"stage": "GROUP", "inputStage": {"stage": "COUNT_SCAN"}},
                        "slotBasedPlan": {"stages": "[2] group"},
                    }
                }
            }
        }
    ]
}


@pytest.mark.parametrize(
    ("explained", "found", "is_good"),
    [
        (CLASSIC, ["LIMIT", "FETCH", "SORT_MERGE", "IXSCAN"], True),
        (SLOT_BASED, ["GROUP", "COUNT_SCAN"], True),
        ({"winningPlan": {"stage": "EXPRESS_IXSCAN"}}, ["EXPRESS_IXSCAN"], True),
        ({"winningPlan": {"stage": "UPDATE", "inputStage": {"stage": "IDHACK"}}}, ["UPDATE", "IDHACK"], True),
        ({"winningPlan": {"stage": "COLLSCAN"}}, ["COLLSCAN"], False),
        ({"winningPlan": {"stage": "SORT", "inputStage": {"stage": "IXSCAN"}}}, ["SORT", "IXSCAN"], False),
        ({"winningPlan": {"stage": "EOF"}}, ["EOF"], False),
        ({}, [], False),
    ],
    ids=range(8),
)
def test_what_an_explained_plan_does(explained: dict[str, object], found: list[str], is_good: bool) -> None:  # noqa: FBT001
    assert stages(explained) == found
    assert is_served(stages(explained)) is is_good
