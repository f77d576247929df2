"""How the limits of a JobQueue reach its workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobqueue_core.assembly import flow_policy
from jobqueue_core.domain.circuit import CircuitPolicy
from jobqueue_core.domain.flow import FlowPolicy
from jobqueue_core.settings.load import load_settings
from jobqueue_operator.cluster.workload import worker_settings
from jobqueue_operator.resource.jobqueue import parse

if TYPE_CHECKING:
    from pathlib import Path


def policy(tmp_path: Path, **processor: object) -> FlowPolicy:
    """Return what the workers of a JobQueue with such a processor go by."""
    resource: dict[str, Any] = {
        "metadata": {
            "name": "emails",
            "namespace": "mail",
            "uid": "6f1f",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": "2026-03-01T12:00:00Z",
        },
        "spec": {
            "queue": {"name": "emails"},
            "processor": {"url": "https://service.example/jobs", "timeoutSeconds": 30, **processor},
            "worker": {"template": {"image": "registry.example/worker:1"}},
        },
    }
    (tmp_path / "application.yaml").write_text("{}")
    env = {"JOBQUEUE_MONGODB__URI": "mongodb://unused", **worker_settings(parse(resource), "emails")}
    return flow_policy(load_settings(env, tmp_path).queue())


def test_without_limits_there_is_the_breaker_alone(tmp_path: Path) -> None:
    assert policy(tmp_path) == FlowPolicy(
        pause_max_seconds=3600,
        circuit=CircuitPolicy(
            window_seconds=30, minimum_calls=20, failure_ratio=0.8, open_seconds=30, probe_seconds=40
        ),
    )


def test_rate_and_concurrency_are_passed_on(tmp_path: Path) -> None:
    limited = policy(tmp_path, rateLimit={"perSecond": 0.25, "concurrent": 100_000})
    assert (limited.per_second, limited.concurrent) == (0.25, 100_000)


def test_one_limit_leaves_the_other_out(tmp_path: Path) -> None:
    limited = policy(tmp_path, rateLimit={"concurrent": 3})
    assert (limited.per_second, limited.concurrent) == (None, 3)


def test_the_breaker_is_passed_on(tmp_path: Path) -> None:
    breaker = {
        "enabled": False,
        "windowSeconds": 10,
        "minimumCalls": 5,
        "failureRatio": 0.5,
        "openSeconds": 2.5,
    }
    assert policy(tmp_path, circuitBreaker=breaker).circuit == CircuitPolicy(
        enabled=False,
        window_seconds=10,
        minimum_calls=5,
        failure_ratio=0.5,
        open_seconds=2.5,
        probe_seconds=40,
    )
