"""Examples of failed jobs, groups and redrives for the documentation."""

from __future__ import annotations

from typing import Any, Final

from jobqueue_api.openapi import EXAMPLE_JOB_ID

_FINGERPRINT: Final = "3f1c9a0e6b7d"
_REDRIVE_ID: Final = "019c0f60-1b2c-7d3e-8f4a-5b6c7d8e9f00"

PAGE: Final[dict[str, Any]] = {
    "queue": "default",
    "failed": 3,
    "letters": 3,
    "jobs": [
        {
            "id": EXAMPLE_JOB_ID,
            "queue": "default",
            "status": "FAILED",
            "phase": "failed",
            "numberOfAttempts": 3,
            "maxAttempts": 3,
            "createdAt": "2026-01-31T09:30:00.250Z",
            "updatedAt": "2026-01-31T09:30:07.101Z",
            "runAt": "2026-01-31T09:30:06.640Z",
            "finishedAt": "2026-01-31T09:30:07.101Z",
            "labels": {"team": "billing"},
            "lastError": {
                "message": "the external service answered 503 (attempt 3 of 3)",
                "code": 503,
                "fingerprint": _FINGERPRINT,
            },
        }
    ],
    "nextCursor": "MTowMTljMGY1ZS03YTMxLTdjNDItOWQxYi0zZjZhMGM1ZThiMTc",
}

GROUPS: Final[dict[str, Any]] = {
    "queue": "default",
    "failed": 1203,
    "letters": 1204,
    "grouped": 1203,
    "groups": [
        {
            "fingerprint": _FINGERPRINT,
            "count": 1203,
            "message": "the external service answered 503 (attempt 3 of 3)",
            "code": 503,
            "attempts": 3,
            "deaths": 0,
            "lastStep": None,
            "firstFailedAt": "2026-01-31T09:30:07.101Z",
            "lastFailedAt": "2026-01-31T09:58:31.400Z",
            "sampleJobIds": [EXAMPLE_JOB_ID],
        }
    ],
}

FOREIGN: Final[dict[str, Any]] = {
    "queue": "default",
    "letters": [
        {
            "messageId": "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d",
            "jobId": None,
            "reason": "the body is not JSON: hello",
            "body": "hello",
            "receives": 2,
        }
    ],
    "lookedAt": 100,
    "complete": False,
}

REDRIVE: Final[dict[str, Any]] = {
    "id": _REDRIVE_ID,
    "queue": "default",
    "state": "running",
    "group": _FINGERPRINT,
    "jobIds": None,
    "perSecond": 20.0,
    "createdAt": "2026-01-31T10:00:00.000Z",
    "updatedAt": "2026-01-31T10:00:10.012Z",
    "finishedAt": None,
    "moved": 201,
    "skipped": 0,
}

CANCELLED: Final = REDRIVE | {"state": "cancelled", "finishedAt": "2026-01-31T10:00:10.012Z"}

REQUESTS: Final[dict[str, object]] = {
    "all": {},
    "a group, 20 a second": {"group": _FINGERPRINT, "perSecond": 20},
    "some jobs": {"jobIds": [EXAMPLE_JOB_ID]},
}
