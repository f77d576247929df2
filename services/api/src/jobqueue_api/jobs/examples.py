"""Examples of jobs for the documentation."""

from __future__ import annotations

from typing import Final

from jobqueue_api.openapi import EXAMPLE_JOB_ID

STATUS: Final = {
    "message": "Job statuses fetched successfully",
    "data": {
        "jobs": [
            {
                "id": EXAMPLE_JOB_ID,
                "status": "SUCCESS",
                "numberOfAttempts": 2,
                "timestamp": "2026-01-31T09:30:00.250Z",
            }
        ],
        "total_jobs_returned": 1,
    },
}

_SUMMARY: Final[dict[str, object]] = {
    "id": EXAMPLE_JOB_ID,
    "queue": "default",
    "status": "SUCCESS",
    "phase": "succeeded",
    "numberOfAttempts": 2,
    "maxAttempts": 3,
    "createdAt": "2026-01-31T09:30:00.250Z",
    "updatedAt": "2026-01-31T09:30:02.101Z",
    "runAt": "2026-01-31T09:30:01.640Z",
    "finishedAt": "2026-01-31T09:30:02.101Z",
    "labels": {"team": "billing"},
    "lastError": {"message": "the external service answered 503", "code": 503, "fingerprint": None},
}

PAGE: Final = {"jobs": [_SUMMARY], "nextCursor": "MTowMTljMGY1ZS03YTMxLTdjNDItOWQxYi0zZjZhMGM1ZThiMTc"}

JOB: Final = _SUMMARY | {
    "payload": {"order": 1815},
    "idempotencyKey": "order-1815",
    "orderingKey": None,
    "timeoutSeconds": None,
    "traceparent": None,
    "sentAt": "2026-01-31T09:30:00.262Z",
    "expiresAt": "2026-02-07T09:30:02.101Z",
    "result": {"code": 200, "body": '{"ok": true}', "truncated": False},
    "running": None,
    "attempts": [
        {
            "number": 1,
            "outcome": "retryable",
            "code": 503,
            "durationSeconds": 0.081,
            "error": "the external service answered 503",
            "startedAt": "2026-01-31T09:30:00.300Z",
            "finishedAt": "2026-01-31T09:30:00.381Z",
            "worker": "worker-7f9c",
            "nextAttemptAt": "2026-01-31T09:30:01.640Z",
        },
        {
            "number": 2,
            "outcome": "succeeded",
            "code": 200,
            "durationSeconds": 0.102,
            "error": None,
            "startedAt": "2026-01-31T09:30:01.999Z",
            "finishedAt": "2026-01-31T09:30:02.101Z",
            "worker": "worker-7f9c",
            "nextAttemptAt": None,
        },
    ],
}

_UNFINISHED: Final = JOB | {"numberOfAttempts": 0, "attempts": [], "result": None, "lastError": None}

CANCELLED_JOB: Final = _UNFINISHED | {"status": "CANCELLED", "phase": "cancelled"}

RETRIED_JOB: Final = _UNFINISHED | {
    "status": "PENDING",
    "phase": "queued",
    "sentAt": None,
    "finishedAt": None,
    "expiresAt": None,
}
