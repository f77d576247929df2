"""The API's metrics, beside those that every component has."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from jobqueue_core.telemetry.metrics import Metrics


class ApiMetrics(Metrics):
    """One registry of one API process."""

    def __init__(self) -> None:
        """Register every metric."""
        super().__init__("api")
        self.wakes = Counter(
            "jobqueue_wakes",
            "Times that a job came for a queue without workers, by whether the operator was woken.",
            ["queue", "outcome"],
            registry=self.registry,
        )
        self.kube_requests = Counter(
            "jobqueue_kube_requests",
            "Requests to the API server of Kubernetes.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )

        self.failed = Gauge(
            "jobqueue_dead_letters",
            "Failed jobs in the store (jobs), messages in the dead-letter queue (queue); the difference is "
            "letters of no job.",
            ["queue", "source"],
            registry=self.registry,
        )
        self.redrives = Counter(
            "jobqueue_redriven", "Failed jobs run again by redrives.", ["queue"], registry=self.registry
        )

    def redriven(self, queue: str, count: int) -> None:
        """Count jobs that a redrive has run again."""
        self.redrives.labels(queue).inc(count)

    def dead_letters(self, queue: str, *, failed: int, letters: int) -> None:
        """Show how many jobs have failed, and how many letters there are."""
        self.failed.labels(queue, "jobs").set(failed)
        self.failed.labels(queue, "queue").set(letters)

    def wake(self, queue: str, outcome: str) -> None:
        """Count one wake: `written` or `failed`."""
        self.wakes.labels(queue, outcome).inc()

    def kube_request(self, verb: str, resource: str, code: int) -> None:
        """Count one request to the API server."""
        self.kube_requests.labels(verb, resource, str(code)).inc()
