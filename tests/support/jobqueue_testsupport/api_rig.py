"""The API on fakes, called without a network."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from jobqueue_api.bootstrap import ClusterAccess, Parts, Stores, assemble, running
from jobqueue_api.metrics import ApiMetrics
from jobqueue_core.settings.model import Settings
from jobqueue_core.testing.clock import ManualClock, settle
from jobqueue_core.testing.flow import MemoryFlowStore
from jobqueue_core.testing.queue import MemoryQueue
from jobqueue_core.testing.redrives import MemoryRedriveStore
from jobqueue_core.testing.schedules import MemoryScheduleStore
from jobqueue_core.testing.store import MemoryJobStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from jobqueue_core.domain.job import Job
    from jobqueue_core.settings.queue import QueueSettings
    from jobqueue_testsupport.fake_cluster import FakeCluster

PROBLEM = "application/problem+json"


class NotedRequests:
    """An access log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def write(self, **line: object) -> None:
        self.lines.append(line)


class ApiRig:
    """The API and everything behind it; the relay runs when it is told to.

    Attributes:
        opened: queues that were opened for JobQueues, in order.
        learnt_away: whether such queues are away at first.

    """

    def __init__(
        self, store: MemoryJobStore | None = None, cluster: FakeCluster | None = None, **changes: object
    ) -> None:
        raw: dict[str, object] = {
            "mongodb": {"uri": "mongodb://unused"},
            "queues": {"emails": {}, "orders": {"sqs": {"queue_name": "orders.fifo"}}},
            "relay": {"enabled": False},
            **changes,
        }
        self.settings = Settings.model_validate(raw)
        self.clock = ManualClock()
        self.store = store or MemoryJobStore()
        self.schedules = MemoryScheduleStore()
        self.redrives = MemoryRedriveStore()
        self.flows = MemoryFlowStore()
        self.queues = {
            name: MemoryQueue(self.settings.queue(name).sqs.queue_name, self.clock)
            for name in self.settings.queue_names
        }
        self.metrics = ApiMetrics()
        self.requests = NotedRequests()
        self.opened: list[QueueSettings] = []
        self.learnt_away = False
        self.parts: Parts = assemble(
            self.settings,
            stores=Stores(
                jobs=self.store, schedules=self.schedules, redrives=self.redrives, flows=self.flows
            ),
            queues=dict(self.queues),
            clock=self.clock,
            metrics=self.metrics,
            access=None if cluster is None else ClusterAccess(cluster, self._open_queue),
        )

    def _open_queue(self, queue: QueueSettings) -> MemoryQueue:
        self.opened.append(queue)
        opened = self.queues[queue.name] = MemoryQueue(queue.sqs.queue_name, self.clock)
        opened.faults.away = self.learnt_away
        return opened

    @property
    def queue(self) -> MemoryQueue:
        """The default queue."""
        return self.queues["default"]

    @property
    def only_job(self) -> Job:
        """The one job that is stored."""
        (job,) = self.store.jobs.values()
        return job

    def metric(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric."""
        value: float | None = self.metrics.registry.get_sample_value(name, labels)
        return value

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[httpx.AsyncClient]:
        """Run the API and give a client of it."""
        async with running(self.parts, self.requests) as app:
            await settle()
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                yield client


def assert_problem(
    answer: httpx.Response, status: int, code: str, fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Check the form of a problem document, and words in the rule of each field at fault; return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    document: dict[str, Any] = answer.json()
    assert document["code"] == code
    assert document["type"] == f"https://jobqueue.dev/problems/{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["requestId"] == answer.headers["x-request-id"]
    assert "x-process-time" in answer.headers
    if fields is not None:
        rules = {error["field"]: error["rule"] for error in document["errors"]}
        assert set(rules) == set(fields), rules
        for field, words in fields.items():
            assert words in rules[field], rules
    return document
