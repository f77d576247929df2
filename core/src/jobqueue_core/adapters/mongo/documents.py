"""Jobs and heartbeats as documents, and back."""

from __future__ import annotations

import json
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from jobqueue_core.domain.heartbeat import Heartbeat
from jobqueue_core.domain.ids import made_at
from jobqueue_core.domain.job import (
    Attempt,
    AttemptOutcome,
    Job,
    JobError,
    JobResult,
    JsonValue,
    Lease,
    Phase,
    Step,
)
from jobqueue_core.ports.store import Backlog, FailureGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from jobqueue_core.adapters.mongo.drivers import Document

# Fields that are left out of the document rather than stored as null: the sparse and partial
# indexes hold only jobs that have them.
ABSENT_WHEN_NONE = frozenset({"dueAt", "expireAt", "idempotencyKey", "idempotencyUntil"})


# Made once: `json.dumps` with separators makes one a call.
_to_json = json.JSONEncoder(separators=(",", ":")).encode


def to_document(job: Job) -> Document:
    """Return the document of a job (contract: the `jobs` collection)."""
    document = {
        "_id": job.id,
        "queue": job.queue,
        # As JSON text: a payload may have keys ("$where", "a.b") and numbers that BSON has not.
        "payload": _to_json(job.payload),
        "maxAttempts": job.max_attempts,
        "createdAt": job.created_at,
        "timeoutSeconds": job.timeout_seconds,
        "orderingKey": job.ordering_key,
        "labels": job.labels,
        "idempotencyKey": job.idempotency_key,
        "idempotencyUntil": job.idempotency_until,
        "fingerprint": job.fingerprint,
        "traceparent": job.traceparent,
        "status": job.status.value,
        "history": [attempt_document(attempt) for attempt in job.history],
    }
    for attribute, name in STEPPED:
        document[name] = encoded(getattr(job, attribute))
    for name in ABSENT_WHEN_NONE:
        if document[name] is None:
            del document[name]
    return document


def attempt_document(attempt: Attempt) -> Document:
    """Return an entry of the history."""
    return {
        "number": attempt.number,
        "outcome": attempt.outcome.value,
        "startedAt": attempt.started_at,
        "finishedAt": attempt.finished_at,
        "worker": attempt.worker,
        "code": attempt.code,
        "error": attempt.error,
        "nextAttemptAt": attempt.next_attempt_at,
    }


def from_document(document: Mapping[str, object]) -> Job:
    """Return the job of a document."""
    get = document.get
    lease = cast("dict[str, object]", document["lease"])
    error = cast("dict[str, object] | None", get("lastError"))
    result = cast("dict[str, object] | None", get("result"))
    history = cast("list[dict[str, object]]", get("history") or [])
    return Job(
        id=cast("str", document["_id"]),
        queue=cast("str", document["queue"]),
        payload=cast("dict[str, JsonValue]", json.loads(cast("str", document["payload"]))),
        phase=Phase(cast("str", document["phase"])),
        max_attempts=cast("int", document["maxAttempts"]),
        created_at=cast("datetime", document["createdAt"]),
        updated_at=cast("datetime", document["updatedAt"]),
        run_at=cast("datetime", document["runAt"]),
        lease=Lease(
            cast("str", lease["token"]),
            cast("str | None", lease["owner"]),
            cast("datetime | None", lease["expiresAt"]),
        ),
        attempts=cast("int", document["attempts"]),
        sent_at=cast("datetime | None", get("sentAt")),
        sends=cast("int", get("sends", 1)),
        due_at=cast("datetime | None", get("dueAt")),
        started_at=cast("datetime | None", get("startedAt")),
        step=None if get("step") is None else Step(cast("str", get("step"))),
        timeout_seconds=cast("float | None", get("timeoutSeconds")),
        ordering_key=cast("str | None", get("orderingKey")),
        labels=cast("dict[str, str]", get("labels") or {}),
        idempotency_key=cast("str | None", get("idempotencyKey")),
        idempotency_until=cast("datetime | None", get("idempotencyUntil")),
        fingerprint=cast("str | None", get("fingerprint")),
        traceparent=cast("str | None", get("traceparent")),
        last_error=None
        if error is None
        else JobError(
            cast("str", error["message"]),
            cast("int | None", error["code"]),
            cast("str | None", error.get("fingerprint")),
        ),
        result=None
        if result is None
        else JobResult(
            cast("int", result["code"]), cast("str", result["body"]), cast("bool", result["truncated"])
        ),
        history=tuple(_attempt(entry) for entry in history),
        finished_at=cast("datetime | None", get("finishedAt")),
        expire_at=cast("datetime | None", get("expireAt")),
    )


def _attempt(entry: Mapping[str, object]) -> Attempt:
    return Attempt(
        number=cast("int", entry["number"]),
        outcome=AttemptOutcome(cast("str", entry["outcome"])),
        started_at=cast("datetime", entry["startedAt"]),
        finished_at=cast("datetime", entry["finishedAt"]),
        worker=cast("str | None", entry["worker"]),
        code=cast("int | None", entry["code"]),
        error=cast("str | None", entry["error"]),
        next_attempt_at=cast("datetime | None", entry["nextAttemptAt"]),
    )


# The attributes that a step may change, and their fields.
STEPPED = (
    ("phase", "phase"),
    ("attempts", "attempts"),
    ("updated_at", "updatedAt"),
    ("run_at", "runAt"),
    ("sent_at", "sentAt"),
    ("sends", "sends"),
    ("due_at", "dueAt"),
    ("lease", "lease"),
    ("started_at", "startedAt"),
    ("step", "step"),
    ("finished_at", "finishedAt"),
    ("expire_at", "expireAt"),
    ("last_error", "lastError"),
    ("result", "result"),
)


def _lease_document(lease: Lease) -> Document:
    return {"owner": lease.owner, "token": lease.token, "expiresAt": lease.expires_at}


def _error_document(error: JobError) -> Document:
    document: Document = {"message": error.message, "code": error.code}
    # Absent rather than null: the index of failures holds only jobs that have one.
    return document if error.fingerprint is None else {**document, "fingerprint": error.fingerprint}


def _result_document(result: JobResult) -> Document:
    return {"code": result.code, "body": result.body, "truncated": result.truncated}


# By exact type, which is quicker than asking each value what it is.
_ENCODERS: dict[type, Callable[[Any], object]] = {
    Phase: attrgetter("value"),
    Step: attrgetter("value"),
    Lease: _lease_document,
    JobError: _error_document,
    JobResult: _result_document,
}


def encoded(value: object) -> object:
    """Return a value of a job as it stands in its document."""
    encode = _ENCODERS.get(type(value))
    return value if encode is None else encode(value)


def heartbeat_document(heartbeat: Heartbeat, expire_at: datetime) -> Document:
    """Return the document of a heartbeat (the `workers` collection)."""
    return {
        "_id": heartbeat.worker,
        "queue": heartbeat.queue,
        "slots": heartbeat.slots,
        "busy": heartbeat.busy,
        "serviceSeconds": heartbeat.service_seconds,
        "attempts": heartbeat.attempts,
        "retries": heartbeat.retries,
        "finished": heartbeat.finished,
        "draining": heartbeat.draining,
        "startedAt": heartbeat.started_at,
        "seenAt": heartbeat.seen_at,
        "expireAt": expire_at,
    }


def heartbeat_from(document: Mapping[str, object]) -> Heartbeat:
    """Return the heartbeat of a document."""
    return Heartbeat(
        worker=cast("str", document["_id"]),
        queue=cast("str", document["queue"]),
        slots=cast("int", document["slots"]),
        busy=cast("int", document["busy"]),
        service_seconds=cast("float | None", document["serviceSeconds"]),
        attempts=cast("int", document["attempts"]),
        retries=cast("int", document["retries"]),
        finished=cast("int", document["finished"]),
        draining=cast("bool", document["draining"]),
        started_at=cast("datetime", document["startedAt"]),
        seen_at=cast("datetime", document["seenAt"]),
    )


def backlogs_from(queues: Collection[str], groups: Iterable[Document]) -> dict[str, Backlog]:
    """Return the backlogs of the queues from jobs counted by queue and phase."""
    unfinished = dict.fromkeys(queues, 0)
    oldest: dict[str, datetime] = {}
    for group in groups:
        queue, phase = group["_id"]["queue"], group["_id"]["phase"]
        unfinished[queue] += group["count"]
        if phase == Phase.QUEUED.value:
            oldest[queue] = made_at(group["lowest"])
    return {queue: Backlog(number, oldest.get(queue)) for queue, number in unfinished.items()}


def failure_group_from(group: Document) -> FailureGroup:
    """Return a group of failed jobs from what was counted."""
    return FailureGroup(
        fingerprint=group["_id"],
        count=group["count"],
        oldest=group["oldest"],
        newest=group["newest"],
        first_failed_at=group["firstFailedAt"],
        last_failed_at=group["lastFailedAt"],
    )
