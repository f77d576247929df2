"""`/queues/{name}/dead-letters` and what lies below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Path, Query
from starlette.requests import Request

from jobqueue_api.body import read_json_body
from jobqueue_api.dead_letters import examples
from jobqueue_api.dead_letters.requests import (
    FOREIGN_MAX,
    GROUPS_MAX,
    LIMIT_MAX,
    RULES,
    Fingerprint,
    RedriveRequest,
    parse_redrive,
)
from jobqueue_api.dead_letters.views import DeadLetterPage, ForeignList, GroupList, RedriveList, RedriveView
from jobqueue_api.middleware import HEADERS
from jobqueue_api.openapi import answers, json_body
from jobqueue_api.problems import FieldError, Kind

if TYPE_CHECKING:
    from fastapi import FastAPI

    from jobqueue_api.dead_letters.service import DeadLetters

PATH: Final = "/queues/{name}/dead-letters"
_ACCEPTED: Final = 202
_BAD_LIMIT: Final = FieldError("limit", RULES["limit"], "0")

QueueName = Annotated[str, Path(description="The queue's name.", examples=["default"])]
RedriveId = Annotated[
    str, Path(alias="redrive_id", description="The redrive's id.", examples=[examples.REDRIVE["id"]])
]


def add_dead_letter_routes(app: FastAPI, dead_letters: DeadLetters) -> None:
    """Add the operations to an app."""
    _add_readings(app, dead_letters)
    _add_redrives(app, dead_letters)


def _add_readings(app: FastAPI, dead_letters: DeadLetters) -> None:
    @app.get(
        PATH,
        operation_id="listDeadLetters",
        summary="List failed jobs",
        tags=["dead letters"],
        responses=answers(
            "A page of failed jobs, the newest first.",
            examples.PAGE,
            Kind.QUEUE_NOT_FOUND,
            Kind.VALIDATION_FAILED,
            Kind.STORE_UNAVAILABLE,
            field=_BAD_LIMIT,
        ),
    )
    async def list_dead_letters(
        name: QueueName,
        group: Annotated[
            Fingerprint | None, Query(description="Those of this group only.", examples=["3f1c9a0e6b7d"])
        ] = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Jobs in one answer at most.")] = 50,
        cursor: Annotated[
            str | None, Query(max_length=200, description="The `nextCursor` of the answer before.")
        ] = None,
    ) -> DeadLetterPage:
        """List the failed jobs of a queue, the newest first, a page at a time."""
        return await dead_letters.page(name, group, limit, cursor)

    @app.get(
        PATH + "/groups",
        operation_id="groupDeadLetters",
        summary="Group failed jobs by their error",
        tags=["dead letters"],
        responses=answers(
            "The groups, the largest first.",
            examples.GROUPS,
            Kind.QUEUE_NOT_FOUND,
            Kind.VALIDATION_FAILED,
            Kind.STORE_UNAVAILABLE,
            field=_BAD_LIMIT,
        ),
    )
    async def group_dead_letters(
        name: QueueName,
        limit: Annotated[int, Query(ge=1, le=GROUPS_MAX, description="Groups at most.")] = 20,
    ) -> GroupList:
        """Group the failed jobs of a queue: errors that differ only in ids, numbers and the like are one."""
        return await dead_letters.groups(name, limit)

    @app.get(
        PATH + "/foreign",
        operation_id="listForeignLetters",
        summary="Look for letters that are no failed job's",
        tags=["dead letters"],
        responses=answers(
            "What was found.",
            examples.FOREIGN,
            Kind.QUEUE_NOT_FOUND,
            Kind.VALIDATION_FAILED,
            Kind.STORE_UNAVAILABLE,
            Kind.QUEUE_UNAVAILABLE,
            field=_BAD_LIMIT,
        ),
    )
    async def list_foreign_letters(
        name: QueueName,
        limit: Annotated[int, Query(ge=1, le=FOREIGN_MAX, description="Messages to look at, at most.")] = 100,
    ) -> ForeignList:
        """Look at messages of the dead-letter queue itself, for those that are not a failed job's.

        They are unreadable, or SQS moved them there because they were received too often: those are made good
        within minutes, by themselves. Each look counts as a receive.
        """
        return await dead_letters.foreign(name, limit)


def _add_redrives(app: FastAPI, dead_letters: DeadLetters) -> None:
    @app.post(
        PATH + "/redrive",
        operation_id="redriveDeadLetters",
        summary="Run failed jobs again",
        tags=["dead letters"],
        status_code=_ACCEPTED,
        responses=answers(
            "The redrive is stored: it will be carried out.",
            examples.REDRIVE,
            Kind.QUEUE_NOT_FOUND,
            Kind.BODY_TOO_LARGE,
            Kind.UNSUPPORTED_MEDIA_TYPE,
            Kind.VALIDATION_FAILED,
            Kind.STORE_UNAVAILABLE,
            field=FieldError("group", RULES["group"], "all"),
            status=_ACCEPTED,
        ),
        openapi_extra={"requestBody": json_body(RedriveRequest, examples.REQUESTS, required=False)},
    )
    async def redrive_dead_letters(name: QueueName, request: Request) -> RedriveView:
        """Run failed jobs of a queue again, with all their attempts: all, those of a group, or those named.

        It goes on in the background, and through restarts. Jobs that fail while it is under way are left for
        another redrive. A job that several redrives want runs once.
        """
        body = await read_json_body(request, request.scope[HEADERS])
        return await dead_letters.redrive(name, parse_redrive(body))

    @app.get(
        PATH + "/redrives",
        operation_id="listRedrives",
        summary="List redrives",
        tags=["dead letters"],
        responses=answers(
            "The newest redrives of the queue.",
            {"redrives": [examples.REDRIVE]},
            Kind.QUEUE_NOT_FOUND,
            Kind.STORE_UNAVAILABLE,
        ),
    )
    async def list_redrives(name: QueueName) -> RedriveList:
        """List the newest redrives of a queue, at most 50."""
        return RedriveList(redrives=await dead_letters.redrives(name))

    @app.get(
        PATH + "/redrives/{redrive_id}",
        operation_id="getRedrive",
        summary="Show a redrive",
        tags=["dead letters"],
        responses=answers(
            "The redrive.",
            examples.REDRIVE,
            Kind.QUEUE_NOT_FOUND,
            Kind.REDRIVE_NOT_FOUND,
            Kind.STORE_UNAVAILABLE,
        ),
    )
    async def get_redrive(name: QueueName, redrive_id: RedriveId) -> RedriveView:
        """Show how far a redrive is."""
        return await dead_letters.show(name, redrive_id)

    @app.post(
        PATH + "/redrives/{redrive_id}/cancel",
        operation_id="cancelRedrive",
        summary="Cancel a redrive",
        tags=["dead letters"],
        responses=answers(
            "The redrive, cancelled.",
            examples.CANCELLED,
            Kind.QUEUE_NOT_FOUND,
            Kind.REDRIVE_NOT_FOUND,
            Kind.REDRIVE_NOT_CANCELLABLE,
            Kind.STORE_UNAVAILABLE,
        ),
    )
    async def cancel_redrive(name: QueueName, redrive_id: RedriveId) -> RedriveView:
        """End a redrive. Jobs that it runs again already go on; the others stay failed."""
        return await dead_letters.cancel(name, redrive_id)
