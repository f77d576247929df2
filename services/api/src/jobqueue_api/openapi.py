"""What the OpenAPI document says beyond FastAPI's own: problems, keys, examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from jobqueue_api.problems import MEDIA_TYPE, FieldError, Kind, Problem, invalid, store_unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

Responses = dict[int | str, dict[str, Any]]
"""What FastAPI takes as `responses`."""

EXAMPLE_JOB_ID: Final = "019c0f5e-7a31-7c42-9d1b-3f6a0c5e8b17"
_EXAMPLE_REQUEST_ID: Final = "5f1c9a0e6b7d4c3e8a2f1b0d9c8e7f6a"

DESCRIPTION: Final = """\
Submit jobs, watch them, act on them. A job is one call of an external HTTP service, retried until it
succeeds or is given up. **An accepted job is stored**: it runs even if everything stops right after the
answer.

Every answer carries `X-Request-Id` (yours, if you sent one) and `X-Process-Time` (seconds). Every error is a
problem document (RFC 9457, `application/problem+json`) with a stable `code`.
"""


class FieldProblem(BaseModel):
    """One field at fault."""

    field: str = Field(description="Its name in the request.")
    rule: str = Field(description="What must hold.")
    got: str | None = Field(default=None, description="What came, at most 100 characters of it.")


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="A URI that stands for the kind of problem; ends in the code.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened this time.")
    code: str = Field(description="The kind of problem for programs; never changes its meaning.")
    requestId: str | None = Field(default=None, description="The answer's X-Request-Id.")  # noqa: N815 - as sent
    errors: list[FieldProblem] | None = Field(default=None, description="The fields at fault.")


_DETAILS: Final = {
    Kind.UNAUTHORIZED: "The API key is not accepted.",
    Kind.NOT_FOUND: "There is nothing at /nowhere.",
    Kind.JOB_NOT_FOUND: f"There is no job {EXAMPLE_JOB_ID}, or none any more.",
    Kind.QUEUE_NOT_FOUND: "There is no queue nosuch; there are: default, emails.",
    Kind.REDRIVE_NOT_FOUND: f"There is no redrive {EXAMPLE_JOB_ID} of this queue, or none any more.",
    Kind.REDRIVE_NOT_CANCELLABLE: "The redrive is done already.",
    Kind.QUEUE_UNAVAILABLE: "SQS does not answer, or does not allow it. Try again.",
    Kind.METHOD_NOT_ALLOWED: "The path answers to POST.",
    Kind.JOB_NOT_CANCELLABLE: "a job that is SUCCESS cannot be cancelled",
    Kind.JOB_NOT_RETRYABLE: "a job that is PENDING cannot be retried, only one that is FAILED or CANCELLED",
    Kind.JOB_BUSY: "The job changed each time this was tried. Try again.",
    Kind.BODY_TOO_LARGE: "A body of this request may have at most 262144 bytes.",
    Kind.UNSUPPORTED_MEDIA_TYPE: "Send the header Content-Type: application/json, or none.",
    Kind.INTERNAL_ERROR: "The request could not be answered.",
    Kind.QUEUES_UNKNOWN: "The queue emails is not known, and the cluster's queues have not been read yet. "
    "Try again.",
    Kind.NOT_READY: "The store is unreachable.",
}


def problem_example(kind: Kind, field: FieldError | None = None) -> dict[str, object]:
    """Return an example of a problem document."""
    if kind is Kind.VALIDATION_FAILED:
        problem = invalid(
            field or FieldError("maxAttempts", "must be an integer, at least 1 and at most 100", "0")
        )
    elif kind is Kind.STORE_UNAVAILABLE:
        problem = store_unavailable()
    elif kind is Kind.IDEMPOTENCY_CONFLICT:
        detail = "A job with this idempotency key exists in the queue and was submitted with other content."
        error = FieldError("idempotencyKey", "must be new, or come with the same job as before", "order-1")
        problem = Problem(kind, detail, [error])
    else:
        problem = Problem(kind, _DETAILS[kind])
    return problem.document(_EXAMPLE_REQUEST_ID)


def answers(
    description: str,
    example: object,
    *problems: Kind,
    field: FieldError | None = None,
    secured: bool = True,
    status: int = 200,
) -> Responses:
    """Return the described answers of an operation.

    Args:
        description: of the success.
        example: of the success.
        problems: what can go wrong beside what always can.
        field: the field at fault in the example of a 422.
        secured: whether the operation asks for an API key.
        status: of the success.

    """
    always = [Kind.UNAUTHORIZED, Kind.INTERNAL_ERROR] if secured else [Kind.INTERNAL_ERROR]
    of_status: dict[int, list[Kind]] = {}
    for kind in (*problems, *always):
        of_status.setdefault(kind.status, []).append(kind)
    responses: Responses = {
        status: {"description": description, "content": {"application/json": {"example": example}}}
    }
    for code, kinds in sorted(of_status.items()):
        responses[code] = {
            "description": "; ".join(kind.title for kind in kinds) + ".",
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemDocument"},
                    "examples": {kind.code: {"value": problem_example(kind, field)} for kind in kinds},
                }
            },
        }
        if code == Kind.UNAUTHORIZED.status:
            responses[code]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
        if code == Kind.STORE_UNAVAILABLE.status:
            responses[code]["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
            }
    return responses


def json_body(model: type[BaseModel], examples: dict[str, object], *, required: bool) -> dict[str, Any]:
    """Return the description of a body that the operation reads by itself."""
    return {
        "required": required,
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
                "examples": {
                    name.replace(" ", "_"): {"summary": name, "value": value}
                    for name, value in examples.items()
                },
            }
        },
    }


def header(name: str, description: str, example: str) -> dict[str, Any]:
    """Return the description of a header that the operation reads by itself."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


def _repair(app: FastAPI, made: dict[str, Any]) -> None:
    """Undo what FastAPI does to the answers: it adds a 422 of its own form, and drops null from examples."""
    for route in app.routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        for method in route.methods or ():
            found = made["paths"][route.path_format][method.lower()]["responses"]
            if 422 not in route.responses:  # noqa: PLR2004 - the status
                found.pop("422", None)
            status = route.status_code or 200
            for media_type, content in route.responses[status]["content"].items():
                found[str(status)]["content"][media_type]["example"] = content["example"]


def install(app: FastAPI, models: Sequence[type[BaseModel]], *, secured: bool) -> None:
    """Make the app's document: with the schemas that no operation of FastAPI's names, and with the keys."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _repair(app, made)
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            every: list[type[BaseModel]] = [ProblemDocument, *models]
            for model in every:
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[model.__name__] = schema
            if secured:
                made["components"]["securitySchemes"] = {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                }
                made["security"] = [{"bearer": []}, {"apiKey": []}]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way to extend the document
