"""How long the workers that the operator makes may go on after SIGTERM, and when they are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobqueue_core.settings.operator_section import TemplateSettings
from jobqueue_operator.cluster.workload import worker_deployment
from jobqueue_operator.resource.jobqueue import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA = {
    "namespace": "mail",
    "name": "emails",
    "uid": "6f1f",
    "generation": 1,
    "resourceVersion": "41",
    "creationTimestamp": "2026-03-01T12:00:00Z",
}


def drain_and_grace(processor: Mapping[str, Any], template: Mapping[str, Any]) -> tuple[int, int]:
    spec: dict[str, Any] = {
        "queue": {"name": "emails", "visibilityTimeoutSeconds": 1000},
        "worker": {"template": {"image": "worker:1", **template}},
        "processor": {"url": "https://service.example/jobs", **processor},
    }
    made = worker_deployment(parse({"metadata": METADATA, "spec": spec}), "emails", TemplateSettings())
    pod = made["spec"]["template"]["spec"]
    env = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
    return int(env["JOBQUEUE_WORKER__DRAIN_SECONDS"]), pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    ("timeout_seconds", "wanted"),
    [(600, (605, 615)), (30, (35, 45)), (45.2, (51, 61)), (2, (25, 35))],
    ids=["long calls", "ordinary calls", "no whole seconds", "calls shorter than a receive"],
)
def test_the_grace_follows_from_the_time_of_a_call(timeout_seconds: float, wanted: tuple[int, int]) -> None:
    assert drain_and_grace({"timeoutSeconds": timeout_seconds}, {}) == wanted


@pytest.mark.parametrize(("grace", "drain"), [(600, 35), (45, 35), (30, 20), (5, 0)])
def test_a_grace_that_is_given_leaves_time_to_hand_back(grace: int, drain: int) -> None:
    assert drain_and_grace({"timeoutSeconds": 30}, {"terminationGracePeriodSeconds": grace}) == (drain, grace)
