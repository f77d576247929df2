"""`GET /queues/{name}/schedules`: the recurring jobs of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Path
from pydantic import BaseModel, Field

from jobqueue_api.jobs.views import Rfc3339, View
from jobqueue_api.openapi import answers
from jobqueue_api.problems import Kind, Problem, cut, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fastapi import FastAPI

    from jobqueue_core.domain.recurrence import Recurrence
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.schedules import ScheduleStore


class ScheduleView(View):
    """A schedule of recurring jobs."""

    name: str
    cron: str
    time_zone: str
    missed: str
    suspended: bool
    last_run_at: Rfc3339 | None = Field(description="The newest due time that became a job; null: none yet.")
    next_run_at: Rfc3339 | None = Field(
        description="The next due time; null: it is suspended, or there is none any more."
    )


class ScheduleList(BaseModel):
    """The schedules of a queue, in the order of the settings."""

    schedules: list[ScheduleView]


_EXAMPLE: Final = {
    "schedules": [
        {
            "name": "nightly-report",
            "cron": "0 3 * * *",
            "timeZone": "Europe/Berlin",
            "missed": "latest",
            "suspended": False,
            "lastRunAt": "2026-01-31T02:00:00.000Z",
            "nextRunAt": "2026-02-01T02:00:00.000Z",
        }
    ]
}


class ScheduleReader:
    """Shows schedules."""

    def __init__(
        self, schedules: Mapping[str, Sequence[Recurrence]], states: ScheduleStore, clock: Clock
    ) -> None:
        """Take the schedules by queue, and what is remembered of them."""
        self._schedules = schedules
        self._states = states
        self._clock = clock

    async def read(self, queue: str) -> list[ScheduleView]:
        """Return the schedules of a queue.

        Raises:
            StoreUnavailableError: what is remembered of them is out of reach.

        """
        recurrences = self._schedules.get(queue, ())
        states = await self._states.load([each.key for each in recurrences]) if recurrences else {}
        now = self._clock.now()
        return [
            ScheduleView(
                name=each.name,
                cron=each.cron,
                time_zone=each.time_zone,
                missed=each.missed.value,
                suspended=each.suspended,
                last_run_at=states[each.key].last_run if each.key in states else None,
                next_run_at=None if each.suspended else each.next_after(now),
            )
            for each in recurrences
        ]


def add_schedule_routes(app: FastAPI, reader: ScheduleReader, queues: Collection[str]) -> None:
    """Add the operation to an app."""

    @app.get(
        "/queues/{name}/schedules",
        operation_id="listSchedules",
        summary="List the schedules of a queue",
        tags=["queues"],
        responses=answers("Its schedules.", _EXAMPLE, Kind.QUEUE_NOT_FOUND, Kind.STORE_UNAVAILABLE),
    )
    async def list_schedules(
        name: Annotated[str, Path(description="The queue's name.", examples=["default"])],
    ) -> ScheduleList:
        """List the recurring jobs of a queue, with the last and the next due time of each."""
        if name not in queues:
            detail = f"There is no queue {cut(name)}; there are: {listed(queues)}."
            raise Problem(Kind.QUEUE_NOT_FOUND, detail)
        return ScheduleList(schedules=await reader.read(name))
