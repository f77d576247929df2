"""Cursors: where a page ended, opaque to the client."""

from __future__ import annotations

import base64
import binascii

from jobqueue_api.problems import FieldError, invalid, shown
from jobqueue_core.domain.ids import is_job_id

_VERSION = "1:"


def encode(job_id: str) -> str:
    """Return the cursor that goes on after a job."""
    return base64.urlsafe_b64encode((_VERSION + job_id).encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """Return the job after which a page begins.

    Raises:
        Problem: it is no cursor of ours.

    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    job_id = text.removeprefix(_VERSION)
    if not text.startswith(_VERSION) or not is_job_id(job_id):
        raise invalid(FieldError("cursor", "must be the nextCursor of an earlier answer", shown(cursor)))
    return job_id
