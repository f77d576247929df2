"""What is to become of a letter in the dead-letter queue, judged from the job that it names.

A dead letter of ours is the sign that a job has failed: after everything has settled there is one for each
failed job, and none for any other. Jobs that are run again leave theirs behind; duplicates are as possible
as on any queue; and SQS itself moves messages there that were received too often, whatever their job is at.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import MessageFormatError
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.message import FAILED_REASON, decode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jobqueue_core.domain.job import Job


class Fate(StrEnum):
    """What is done with a letter."""

    KEEP = "keep"
    """It is the sign of a failed job, or of a job that may still come to need it."""
    DELETE = "delete"
    """It stands for nothing any more."""
    RESEND = "resend"
    """SQS took away the message of a job that is not done: the relay sends another, then it is deleted."""
    REPLACE = "replace"
    """The job has failed, but this is not its letter: the relay writes one, then it is deleted."""
    FOREIGN = "foreign"
    """It is none of ours, and stays until somebody deletes it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What a message in the dead-letter queue says.

    Attributes:
        job_id: the job it names; None: it is unreadable.
        is_ours: whether the product wrote it there; SQS moves messages as they are.
        sends: number of the job's newest message when it failed; None where that is not said.
        reason: why it cannot be read, or why it was put there.

    """

    job_id: str | None
    is_ours: bool = False
    sends: int | None = None
    reason: str = ""


def read_letter(body: str, attributes: Mapping[str, str], moved_from: str | None = None) -> Letter:
    """Return what a message in the dead-letter queue says.

    Args:
        body: of the message.
        attributes: of the message.
        moved_from: the queue from which SQS moved it by itself. Such a one may have been a letter of ours
            before it was moved back there.

    """
    reason = attributes.get("error", attributes.get("reason", ""))
    try:
        job_id = decode(body)
    except MessageFormatError as error:
        return Letter(None, reason=reason or str(error))
    sends = attributes.get("sends", "")
    return Letter(
        job_id,
        is_ours=attributes.get("reason") == FAILED_REASON and moved_from is None,
        sends=int(sends) if sends.isascii() and sends.isdigit() else None,
        reason=reason,
    )


def judge_letter(letter: Letter, job: Job | None, now: datetime) -> Fate:
    """Judge a letter by the job it names (None: the store has no such job, or no longer)."""
    if letter.job_id is None:
        return Fate.FOREIGN
    if job is None:
        # Failed and forgotten, or finished before SQS moved it: ids are stored before they are sent.
        return Fate.DELETE
    if job.phase is Phase.FAILED:
        return _of_failed(letter, job)
    return _of_other(letter, job, now)


def _of_other(letter: Letter, job: Job, now: datetime) -> Fate:
    if letter.is_ours or job.phase.is_final or job.phase is Phase.SCHEDULED:
        return Fate.DELETE
    if job.due_at is not None and not job.lease.is_held(now):
        # Sent again in any case: a message is owed, or the worker is gone.
        return Fate.DELETE
    # A running job's worker has a message of its own or will be missed: judged when the attempt has ended.
    return Fate.KEEP if job.phase is Phase.RUNNING else Fate.RESEND


def _of_failed(letter: Letter, job: Job) -> Fate:
    if letter.is_ours:
        # An older number: the job was run again since, and has failed again.
        return Fate.KEEP if letter.sends in (None, job.sends) else Fate.DELETE
    return Fate.DELETE if job.due_at is not None else Fate.REPLACE
