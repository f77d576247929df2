"""The operator's metrics, beside those that every component has."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from jobqueue_core.telemetry.metrics import Metrics
from jobqueue_operator.scaling import QueueCounts

if TYPE_CHECKING:
    from jobqueue_operator.scaling import Decision, Observation

# A reconcile is some requests to SQS, the store and the API server; beyond a second something is away.
_RECONCILE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class OperatorMetrics(Metrics):
    """One registry of one operator. `queue` is the name by which jobs name it, `namespace` its JobQueue's."""

    def __init__(self) -> None:
        super().__init__("operator")
        r, of_queue = self.registry, ["namespace", "queue"]
        self.messages = Gauge(
            "jobqueue_queue_messages",
            "Messages in SQS: visible, in_flight, delayed, dead.",
            [*of_queue, "state"],
            registry=r,
        )
        self.oldest = Gauge(
            "jobqueue_oldest_job_age_seconds", "Age of the oldest job that waits.", of_queue, registry=r
        )
        self.desired = Gauge("jobqueue_desired_replicas", "Workers that are wanted.", of_queue, registry=r)
        self.replicas = Gauge("jobqueue_replicas", "Workers that are ready.", of_queue, registry=r)
        self.drain = Gauge(
            "jobqueue_drain_seconds", "Estimate of when what waits is done.", of_queue, registry=r
        )
        self.decisions = Counter(
            "jobqueue_scale_decisions",
            "Changes of the number of workers.",
            [*of_queue, "direction", "reason"],
            registry=r,
        )
        self.ready = Gauge(
            "jobqueue_ready", "1: the JobQueue's condition Ready is True.", of_queue, registry=r
        )
        self.reconcile = Histogram(
            "jobqueue_reconcile_seconds",
            "One round: observe, decide, scale, tell.",
            buckets=_RECONCILE_BUCKETS,
            registry=r,
        )
        self.late = Histogram(
            "jobqueue_poll_late_seconds",
            "How much later than due a poll began.",
            buckets=_RECONCILE_BUCKETS,
            registry=r,
        )
        self.kube_requests = Counter(
            "jobqueue_kube_requests",
            "Requests to the API server, watches aside.",
            ["verb", "resource", "code"],
            registry=r,
        )
        self.leading = Gauge("jobqueue_leader", "1: this operator is the one that acts.", registry=r)

    def kube_request(self, verb: str, resource: str, code: int) -> None:
        """Count one request to the API server."""
        self.kube_requests.labels(verb, resource, str(code)).inc()

    def observed(
        self, namespace: str, queue: str, seen: Observation, dead_letters: int | None, drain: float | None
    ) -> None:
        """Show a reading; what is unknown has no value rather than an old one."""
        counts = seen.queue
        if isinstance(counts, QueueCounts):
            self.messages.labels(namespace, queue, "visible").set(counts.visible)
            self.messages.labels(namespace, queue, "in_flight").set(counts.in_flight)
            self.messages.labels(namespace, queue, "delayed").set(counts.delayed)
        else:
            for state in ("visible", "in_flight", "delayed"):
                _forget(self.messages, namespace, queue, state)
        if dead_letters is not None:
            self.messages.labels(namespace, queue, "dead").set(dead_letters)
        self.oldest.labels(namespace, queue).set(seen.oldest_age_seconds or 0.0)
        if drain is None:
            _forget(self.drain, namespace, queue)
        else:
            self.drain.labels(namespace, queue).set(drain)

    def decided(self, namespace: str, queue: str, decision: Decision, ready: int) -> None:
        """Show a decision, and count it when it changes anything."""
        self.desired.labels(namespace, queue).set(decision.to)
        self.replicas.labels(namespace, queue).set(ready)
        if decision.changed:
            self.decisions.labels(namespace, queue, str(decision.direction), str(decision.reason)).inc()

    def forget(self, namespace: str, queue: str) -> None:
        """Show a queue no longer whose JobQueue is gone."""
        for state in ("visible", "in_flight", "delayed", "dead"):
            _forget(self.messages, namespace, queue, state)
        for gauge in (self.oldest, self.desired, self.replicas, self.drain, self.ready):
            _forget(gauge, namespace, queue)


def _forget(gauge: Gauge, *labels: str) -> None:
    with contextlib.suppress(KeyError):  # there was none
        gauge.remove(*labels)
