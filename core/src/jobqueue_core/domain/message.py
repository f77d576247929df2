"""The message that carries a job through the queue: its id and nothing that could go stale."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import MessageFormatError
from jobqueue_core.domain.ids import is_job_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.domain.job import Job

VERSION = 1
# SQS: MessageGroupId and MessageDeduplicationId take 1-128 alphanumeric or punctuation characters.
GROUP_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
# SQS: the longest DelaySeconds of a message.
DELAY_MAX_SECONDS = 900
FAILED_REASON = "failed"
"""What the attribute `reason` of a failed job's dead letter says."""
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Message:
    """What goes into the queue for one job.

    Attributes:
        body: JSON text, `{"v": 1, "jobId": "…"}`.
        attributes: string message attributes.
        group_id: SQS MessageGroupId; on a standard queue it makes the queue fair.
        deduplication_id: SQS MessageDeduplicationId; for FIFO queues only.
        delay_seconds: until it shows, 0-900; for standard queues only (SQS: DelaySeconds).

    """

    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    group_id: str | None = None
    deduplication_id: str | None = None
    delay_seconds: int = 0


def encode(job: Job, *, fifo: bool) -> Message:
    """Return the message of a job's newest send."""
    attributes = {"queue": job.queue}
    if job.traceparent is not None:
        attributes["traceparent"] = job.traceparent
    return Message(
        # An id has no character that JSON would escape.
        body=f'{{"v":{VERSION},"jobId":"{job.id}"}}',
        attributes=attributes,
        group_id=job.ordering_key or (job.id if fifo else None),
        deduplication_id=f"{job.id}-{job.sends}" if fifo else None,
    )


def decode(body: str) -> str:
    """Return the job id that a message carries.

    Raises:
        MessageFormatError: the body is not ours; the text says why, without repeating it whole.

    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        msg = f"the body is not JSON: {_shown(body)}"
        raise MessageFormatError(msg) from error
    if not isinstance(document, dict):
        msg = f"the body is not a JSON object: {_shown(body)}"
        raise MessageFormatError(msg)
    version = document.get("v")
    if version != VERSION or isinstance(version, bool):
        msg = f"v must be {VERSION}, got {_shown(json.dumps(version))}"
        raise MessageFormatError(msg)
    job_id = document.get("jobId")
    if not isinstance(job_id, str) or not is_job_id(job_id):
        msg = f"jobId must be a job id (UUID version 7), got {_shown(json.dumps(job_id))}"
        raise MessageFormatError(msg)
    return job_id


def dead_letter(job: Job, *, fifo: bool) -> Message:
    """Return the dead letter of a failed job: its message, with the last error as attributes."""
    message = encode(job, fifo=fifo)
    error = job.last_error
    attributes = {
        **message.attributes,
        "reason": FAILED_REASON,
        "attempts": str(job.attempts),
        # Tells a letter of an earlier failure: the number rises when the job is run again.
        "sends": str(job.sends),
        "error": attribute_text(error.message if error else "unknown"),
    }
    if error is not None and error.code is not None:
        attributes["code"] = str(error.code)
    # Letters need no order, and one of a longer group would hide those behind it from whoever looks.
    group_id = job.id if fifo else message.group_id
    return Message(message.body, attributes, group_id, message.deduplication_id)


def attribute_text(text: str) -> str:
    """Return the text as SQS takes it in an attribute: not empty, bounded, no control characters.

    SQS refuses the whole batch entry for a character outside XML 1.0's range (SendMessage reference).
    """
    cleaned = "".join(c if c.isprintable() else " " for c in text)
    return cleaned.encode("utf-8", "replace").decode()[:512].strip() or "-"


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
