"""The ASGI application: every route, every error as a problem, one layer around it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jobqueue_api import docs, openapi
from jobqueue_api.dead_letters.requests import RULES as DEAD_LETTER_RULES
from jobqueue_api.dead_letters.requests import RedriveRequest
from jobqueue_api.dead_letters.routes import PATH as DEAD_LETTERS
from jobqueue_api.dead_letters.routes import add_dead_letter_routes
from jobqueue_api.health import add_health_routes
from jobqueue_api.jobs.routes import LIST_RULES, RULES, add_job_routes
from jobqueue_api.middleware import REQUEST_ID, as_problem
from jobqueue_api.problems import FieldError, Kind, Problem, cut, invalid, unforeseen
from jobqueue_api.queues.routes import add_queue_routes
from jobqueue_api.queues.schedules import add_schedule_routes
from jobqueue_api.submission.batch import BatchAnswer, BatchRequest
from jobqueue_api.submission.routes import add_submission_routes
from jobqueue_api.submission.schemas import Accepted, JobRequest
from jobqueue_api.validation import field_errors
from jobqueue_core.build import build_version
from jobqueue_core.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from jobqueue_api.bootstrap import Parts

_NOT_FOUND, _METHOD_NOT_ALLOWED = 404, 405
_BELOW_DEAD_LETTERS = DEAD_LETTERS.rpartition("}")[2]


def create_app(parts: Parts) -> FastAPI:
    """Return the application of these parts, without the layer around it."""
    app = FastAPI(
        title="jobqueue",
        version=build_version(),
        description=openapi.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Problem: _refused,
            HTTPException: _http_error,
            RequestValidationError: _not_valid,
            StoreUnavailableError: _refused,
            Exception: _unforeseen,
        },
    )
    limits = parts.settings.api.limits
    # In the order of traffic: routes are tried one after another.
    add_submission_routes(
        app,
        parts.submissions,
        parts.submission_limits,
        parts.clock,
        max_batch=limits.max_batch,
        max_body_bytes=limits.max_body_bytes,
    )
    directory = parts.directory
    add_job_routes(app, parts.store, parts.actions, directory.queues)
    add_queue_routes(app, parts.reader, directory.accepted)
    add_dead_letter_routes(app, parts.dead_letters)
    add_schedule_routes(app, parts.schedules, directory.accepted)
    add_health_routes(app, parts.watch, directory.accepted, parts.metrics)
    docs.add_docs_routes(app)
    openapi.install(
        app,
        (JobRequest, Accepted, BatchRequest, BatchAnswer, RedriveRequest),
        secured=parts.settings.api.auth.enabled,
    )
    return app


async def _refused(request: Request, error: Exception) -> Response:
    request_id = request.scope[REQUEST_ID]
    return as_problem(cast("Problem | StoreUnavailableError", error), request_id).response(request_id)


async def _unforeseen(request: Request, _: Exception) -> Response:
    # Starlette raises it again behind this answer: the layer around the application logs it.
    return unforeseen().response(request.scope[REQUEST_ID])


async def _not_valid(request: Request, error: Exception) -> Response:
    details = cast("RequestValidationError", error).errors()
    path = request.url.path
    rules = LIST_RULES if path == "/jobs" else RULES
    if _BELOW_DEAD_LETTERS in path:
        rules = DEAD_LETTER_RULES
    return invalid(*field_errors(details, rules)).response(request.scope[REQUEST_ID])


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer what Starlette's router refuses: a path or a method that is not there."""
    http = cast("HTTPException", error)
    path = cut(request.url.path)
    if http.status_code == _METHOD_NOT_ALLOWED:
        allowed = (http.headers or {}).get("Allow", "")
        detail = f"{path} answers to {allowed}, not to {cut(request.method)}."
        problem = Problem(Kind.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed})
    elif http.status_code == _NOT_FOUND:
        problem = Problem(Kind.NOT_FOUND, f"There is nothing at {path}. See /docs for what there is.")
    else:
        problem = invalid(FieldError("request", cut(str(http.detail))))
    return problem.response(request.scope[REQUEST_ID])
