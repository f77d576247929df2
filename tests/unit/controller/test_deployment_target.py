from __future__ import annotations

from typing import Any

import pytest

from jobqueue_operator.targets.deployment import first_to_go, selector_query, view_of, worker_pod


def pod(
    name: str, created: str = "2026-03-01T12:00:00Z", *, ready: bool = True, **metadata: str
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": created, **metadata},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def test_busy_pods_are_never_marked() -> None:
    pods = [pod("a"), pod("b"), pod("c")]
    assert set(first_to_go(pods, {"b"}, 2)) == {"a", "c"}
    assert first_to_go(pods, {"a", "b", "c"}, 2) == []


def test_pods_that_are_not_ready_go_first_then_the_youngest() -> None:
    pods = [
        pod("old", "2026-03-01T12:00:00Z"),
        pod("young", "2026-03-01T12:30:00Z"),
        pod("starting", "2026-03-01T12:10:00Z", ready=False),
    ]
    assert first_to_go(pods, set(), 3) == ["starting", "young", "old"]


def test_pods_that_end_already_are_not_counted() -> None:
    ending = pod("ending", deletionTimestamp="2026-03-01T12:01:00Z")
    done = pod("done")
    done["status"]["phase"] = "Succeeded"
    assert first_to_go([ending, done, pod("a")], set(), 3) == ["a"]


@pytest.mark.parametrize(
    ("worker", "found"),
    [("jobs-7f-abc", "jobs-7f-abc"), ("jobs-7f-abc-7", "jobs-7f-abc"), ("jobs-7f", None), ("other-1", None)],
)
def test_a_worker_is_found_in_its_pod(worker: str, found: str | None) -> None:
    assert worker_pod(worker, {"jobs-7f-abc", "jobs-7f-def"}) == found


def test_a_selector_becomes_a_query() -> None:
    selector = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["x", "y"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    assert selector_query(selector) == "a=1,b=2,tier in (x,y),!old"


def test_a_deployment_without_a_number_has_one_replica() -> None:
    metadata = {"namespace": "n", "name": "d", "uid": "u", "resourceVersion": "7"}
    view = view_of({"metadata": metadata, "spec": {"selector": {"matchLabels": {"a": "1"}}}})
    assert (view.replicas, view.ready, view.version, view.selector, view.owner) == (1, 0, 7, "a=1", None)


def test_only_the_controlling_owner_counts() -> None:
    owners = [{"uid": "x"}, {"uid": "y", "controller": True}]
    metadata = {
        "namespace": "n",
        "name": "d",
        "uid": "u",
        "resourceVersion": "7",
        "ownerReferences": owners,
    }
    assert view_of({"metadata": metadata, "spec": {"replicas": 0}}).owner == "y"
