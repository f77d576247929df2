"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import Response
from pydantic import BaseModel, Field

from jobqueue_api.openapi import answers
from jobqueue_api.problems import Kind, Problem
from jobqueue_core.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

    from jobqueue_api.upstream import WatchedQueue, WatchedStore
    from jobqueue_core.telemetry.metrics import Metrics

_RETRY_AFTER_SECONDS = 1
_EXAMPLE: Final = {"status": "ready", "checks": {"store": "ok", "queue": {"default": "ok"}}}


class Alive(BaseModel):
    """The process answers."""

    status: str = Field(description="Always `ok`.")


class Checks(BaseModel):
    """Each thing that was checked."""

    store: str = Field(description="`ok`, `unreachable` or `not prepared`.")
    queue: dict[str, str] = Field(
        description="By queue: `ok`, or `unreachable`, which does not stop submissions: jobs are stored, and "
        "sent when SQS answers again."
    )


class Ready(BaseModel):
    """Jobs are accepted."""

    status: str = Field(description="Always `ready`.")
    checks: Checks


def add_health_routes(
    app: FastAPI, store: WatchedStore, queues: Mapping[str, WatchedQueue], metrics: Metrics
) -> None:
    """Add the operations to an app."""

    @app.get(
        "/healthz",
        operation_id="getHealth",
        summary="Is the process alive?",
        tags=["health"],
        responses=answers("It is.", {"status": "ok"}, secured=False),
        openapi_extra={"security": []},
    )
    async def healthz() -> Alive:
        """Answer while the event loop turns; nothing else is asked."""
        return Alive(status="ok")

    @app.get(
        "/readyz",
        operation_id="getReadiness",
        summary="Are jobs accepted?",
        tags=["health"],
        responses=answers("They are.", _EXAMPLE, Kind.NOT_READY, secured=False),
        openapi_extra={"security": []},
    )
    async def readyz() -> Ready:
        """Answer 200 while jobs are accepted: while the database takes writes. SQS away does not count."""
        problem = await store.problem()
        checks = Checks(
            store=problem or "ok",
            queue={name: "ok" if queue.reachable else "unreachable" for name, queue in queues.items()},
        )
        if problem is not None:
            raise Problem(
                Kind.NOT_READY,
                f"The store is {problem}.",
                headers={"Retry-After": str(_RETRY_AFTER_SECONDS)},
                extra={"checks": checks.model_dump()},
            )
        return Ready(status="ready", checks=checks)

    metrics_answers = answers("OpenMetrics text.", "", secured=False)
    metrics_answers[200]["content"] = {
        CONTENT_TYPE: {
            "schema": {"type": "string"},
            "example": 'jobqueue_jobs_submitted_total{queue="default"} 1815.0\n',
        }
    }

    @app.get(
        "/metrics",
        operation_id="getMetrics",
        summary="Prometheus metrics",
        tags=["health"],
        response_class=Response,
        responses=metrics_answers,
        openapi_extra={"security": []},
    )
    async def get_metrics() -> Response:
        """Return the metrics of this process."""
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})
