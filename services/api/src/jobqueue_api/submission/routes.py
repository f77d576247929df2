"""`POST /addJob` and `POST /jobs/batch`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response

from jobqueue_api.body import read_json_body
from jobqueue_api.middleware import HEADERS
from jobqueue_api.openapi import EXAMPLE_JOB_ID, answers, header, json_body, problem_example
from jobqueue_api.problems import FieldError, Kind, idempotency_conflict, invalid, shown
from jobqueue_api.routing import RawRoute
from jobqueue_api.submission.batch import BatchAnswer, BatchRequest, answer, is_same, plan
from jobqueue_api.submission.requests import parse_submission, traceparent
from jobqueue_api.submission.schemas import Accepted, JobRequest

if TYPE_CHECKING:
    from fastapi import FastAPI

    from jobqueue_api.submission.requests import SubmissionLimits
    from jobqueue_api.submission.service import Submissions
    from jobqueue_core.ports.clock import Clock

PATH: Final = "/addJob"
BATCH_PATH: Final = "/jobs/batch"

_REPLAYED: Final = {"Idempotency-Replayed": "true"}
_JOB_EXAMPLES: Final[dict[str, object]] = {
    "a payload": {"payload": {"to": "ada@example.com", "template": "welcome"}},
    "every field": {
        "queue": "default",
        "payload": {"order": 1815, "items": ["loom", "cards"]},
        "idempotencyKey": "order-1815",
        "delaySeconds": 60,
        "maxAttempts": 5,
        "timeoutSeconds": 10,
        "orderingKey": "customer-7",
        "labels": {"team": "billing"},
    },
    "at a time": {"payload": {"report": "monthly"}, "runAt": "2026-12-01T06:00:00+01:00"},
}
_SUBMITTED: Final = {"message": "Job added successfully", "jobId": EXAMPLE_JOB_ID}
_TRACEPARENT_HEADER: Final = header(
    "traceparent",
    "W3C trace context, handed on to the external service. One that is malformed is dropped.",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
_IDEMPOTENCY_HEADER: Final = header(
    "Idempotency-Key", "As the field `idempotencyKey`; the two must not differ.", "order-1815"
)
_ATOMIC: Final = {
    "name": "atomic",
    "in": "query",
    "required": False,
    "description": "true: store nothing unless every entry is valid.",
    "schema": {"type": "boolean", "default": False},
}
_ATOMIC_VALUES: Final = {None: False, "": False, "false": False, "true": True}


def add_submission_routes(
    app: FastAPI,
    submissions: Submissions,
    limits: SubmissionLimits,
    clock: Clock,
    *,
    max_batch: int,
    max_body_bytes: int,
) -> None:
    """Add the operations to an app."""

    async def add_job(request: Request) -> Response:
        """Store one job and have it run. Without a body: a job with an empty payload in the default queue.

        `priority` and `callbackUrl` are not supported yet, and refused.
        """
        headers = request.scope[HEADERS]
        body = await read_json_body(request, headers)
        submission = parse_submission(body, headers, limits, clock.now())
        outcome = await submissions.submit(submission)
        if not is_same(submission, outcome):
            raise idempotency_conflict(submission.idempotency_key or "")
        content = b'{"message":"Job added successfully","jobId":"%b"}' % outcome.job.id.encode()
        return Response(
            content, headers=None if outcome.created else _REPLAYED, media_type="application/json"
        )

    async def add_jobs(request: Request) -> Response:
        """Store up to 1,000 jobs. Each entry has its own answer: bad ones are refused, the others run.

        With `atomic=true` one bad entry refuses all: a 422 names each as `jobs.<index>.<field>`, and nothing
        is stored. (That an idempotency key belongs to another job stored earlier is found only while storing:
        it is answered by its entry in any case.) A 503 says that not every job is known to be stored: with
        idempotency keys, submit the batch again. An entry may be as large as a single job's body.
        """
        headers = request.scope[HEADERS]
        atomic = request.query_params.get("atomic")
        if atomic not in _ATOMIC_VALUES:
            raise invalid(FieldError("atomic", "must be true or false", shown(atomic)))
        if b"idempotency-key" in headers:
            raise invalid(FieldError("Idempotency-Key", "must stand in each job, as idempotencyKey"))
        body = await read_json_body(request, headers)
        judged = plan(
            body,
            limits,
            clock.now(),
            traceparent(headers),
            max_entries=max_batch,
            max_entry_bytes=max_body_bytes,
        )
        if _ATOMIC_VALUES[atomic]:
            judged.demand_all()
        inserted = await submissions.submit_all(judged.submissions) if judged.submissions else []
        return Response(json.dumps(answer(judged, inserted)), media_type="application/json")

    app.router.add_api_route(
        PATH,
        add_job,
        methods=["POST"],
        operation_id="addJob",
        summary="Submit a job",
        tags=["submit"],
        response_model=None,
        responses=_add_job_answers(),
        openapi_extra={
            "requestBody": json_body(JobRequest, _JOB_EXAMPLES, required=False),
            "parameters": [_IDEMPOTENCY_HEADER, _TRACEPARENT_HEADER],
        },
        route_class_override=RawRoute,
    )
    app.router.add_api_route(
        BATCH_PATH,
        add_jobs,
        methods=["POST"],
        operation_id="addJobs",
        summary="Submit many jobs",
        tags=["submit"],
        response_model=None,
        responses=_add_jobs_answers(),
        openapi_extra={
            "requestBody": json_body(
                BatchRequest,
                {"two jobs": {"jobs": [{"payload": {"n": 1}}, {"payload": {"n": 2}, "delaySeconds": 30}]}},
                required=True,
            ),
            "parameters": [_ATOMIC, _TRACEPARENT_HEADER],
        },
        route_class_override=RawRoute,
    )


def _add_job_answers() -> dict[int | str, dict[str, object]]:
    responses = answers(
        "The job is stored: it will run.",
        _SUBMITTED,
        Kind.IDEMPOTENCY_CONFLICT,
        Kind.BODY_TOO_LARGE,
        Kind.UNSUPPORTED_MEDIA_TYPE,
        Kind.VALIDATION_FAILED,
        Kind.STORE_UNAVAILABLE,
        Kind.QUEUES_UNKNOWN,
    )
    responses[200]["content"]["application/json"]["schema"] = _ref(Accepted)
    responses[200]["headers"] = {
        "Idempotency-Replayed": {
            "description": "`true` when the idempotency key was known: this is the job that has it.",
            "schema": {"type": "string"},
        }
    }
    return responses


def _add_jobs_answers() -> dict[int | str, dict[str, object]]:
    refused = problem_example(Kind.VALIDATION_FAILED)
    del refused["requestId"]
    example = {
        "results": [
            {"index": 0, "jobId": EXAMPLE_JOB_ID, "created": True},
            {"index": 1, "problem": refused},
        ],
        "accepted": 1,
        "refused": 1,
    }
    responses = answers(
        "Every entry has its answer.",
        example,
        Kind.BODY_TOO_LARGE,
        Kind.UNSUPPORTED_MEDIA_TYPE,
        Kind.VALIDATION_FAILED,
        Kind.STORE_UNAVAILABLE,
        Kind.QUEUES_UNKNOWN,
        field=FieldError("jobs.1.maxAttempts", "must be an integer, at least 1 and at most 100", "0"),
    )
    responses[200]["content"]["application/json"]["schema"] = _ref(BatchAnswer)
    return responses


def _ref(model: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
