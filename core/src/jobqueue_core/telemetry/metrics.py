"""The Prometheus metrics of every component, by the names that dashboards rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from jobqueue_core.build import build_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_core.domain.heartbeat import Heartbeat

# HTTP answers of our own API: a store's round trip is milliseconds, its time-out seconds.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# A call of an external service: from a cache's answer to the longest time-out that is usual.
_PROCESSING_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
# Waiting in a queue and from submission to the end: up to a backlog of hours.
_WAIT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14400, 86400)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """One registry of one process. No label is unbounded: queues, phases, codes, routes."""

    def __init__(self, component: str) -> None:
        """Register every metric; `component` is a label of the build information."""
        self.registry = CollectorRegistry()
        r = self.registry
        self.submitted = Counter(
            "jobqueue_jobs_submitted", "Jobs stored on a client's request.", ["queue"], registry=r
        )
        self.finished = Counter(
            "jobqueue_jobs_finished", "Jobs that reached a final state.", ["queue", "status"], registry=r
        )
        self.attempts = Counter(
            "jobqueue_job_attempts",
            "Attempts ended, by how they ended.",
            ["queue", "outcome"],
            registry=r,
        )
        self.retries = Counter(
            "jobqueue_job_retries",
            "Attempts that are to be tried again, by why.",
            ["queue", "reason"],
            registry=r,
        )
        self.processing = Histogram(
            "jobqueue_job_processing_seconds",
            "One attempt: the call of the external service.",
            ["queue"],
            buckets=_PROCESSING_BUCKETS,
            registry=r,
        )
        self.latency = Histogram(
            "jobqueue_job_latency_seconds",
            "From submission to a final state.",
            ["queue"],
            buckets=_WAIT_BUCKETS,
            registry=r,
        )
        self.queue_wait = Histogram(
            "jobqueue_queue_wait_seconds",
            "From when a job could run to when its first attempt began.",
            ["queue"],
            buckets=_WAIT_BUCKETS,
            registry=r,
        )
        self.busy_slots = Gauge("jobqueue_worker_busy_slots", "Slots that run a job.", ["queue"], registry=r)
        self.slots = Gauge("jobqueue_worker_slots", "Slots of this worker.", ["queue"], registry=r)
        self.sqs_requests = Counter(
            "jobqueue_sqs_requests", "Requests to SQS.", ["operation", "outcome"], registry=r
        )
        self.http_requests = Histogram(
            "jobqueue_http_request_seconds",
            "Requests to the API, by route template.",
            ["route", "method", "code"],
            buckets=_REQUEST_BUCKETS,
            registry=r,
        )
        self.resent = Counter(
            "jobqueue_relay_resent", "Messages that the relay had to send.", ["queue"], registry=r
        )
        self.scheduled_runs = Counter(
            "jobqueue_scheduled_runs",
            "Due times of schedules that this process made jobs of.",
            ["queue"],
            registry=r,
        )
        self.circuit_open = Gauge(
            "jobqueue_circuit_open",
            "1 while the circuit of the external service is open or half-open.",
            ["queue"],
            registry=r,
        )
        self.flow_waiting = Gauge(
            "jobqueue_flow_waiting",
            "Messages that wait for a limit, a pause or an open circuit.",
            ["queue"],
            registry=r,
        )
        info = Gauge(
            "jobqueue_build_info",
            "Constant 1; the build in its labels.",
            ["component", "version"],
            registry=r,
        )
        info.labels(component, build_version()).set(1)

    def sqs_request(self, operation: str, outcome: str) -> None:
        """Count one request to SQS."""
        self.sqs_requests.labels(operation, outcome).inc()

    def relay_resent(self, queue: str, count: int) -> None:
        """Count messages that the relay had to send."""
        self.resent.labels(queue).inc(count)

    def recurring_run(self, queue: str) -> None:
        """Count a due time of a schedule that became a job."""
        self.scheduled_runs.labels(queue).inc()

    def watch_flow(self, queue: str, *, waiting: Callable[[], int], is_open: Callable[[], bool]) -> None:
        """Have the gauges of a worker's flow control read when they are asked for."""
        self.flow_waiting.labels(queue).set_function(waiting)
        self.circuit_open.labels(queue).set_function(is_open)

    def worker_state(self, heartbeat: Heartbeat) -> None:
        """Set the gauges of a worker."""
        self.busy_slots.labels(heartbeat.queue).set(heartbeat.busy)
        self.slots.labels(heartbeat.queue).set(heartbeat.slots)

    def render(self) -> bytes:
        """Return the metrics in the OpenMetrics text format."""
        return cast("bytes", generate_latest(self.registry))  # type: ignore[no-untyped-call] # of prometheus-client
