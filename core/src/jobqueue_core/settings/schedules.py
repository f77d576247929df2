"""Recurring jobs of a queue: when they are due, and what they are."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from jobqueue_core.domain.cron import cron_fault, time_zone
from jobqueue_core.domain.message import GROUP_ID
from jobqueue_core.settings.fields import Section, broken

PAYLOAD_MAX_BYTES = 65_536
LABELS_MAX = 15
"""Labels of a job are at most 16; one is the schedule's name."""
CRON_MAX = 100

_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_LABEL = re.compile(r"[A-Za-z0-9._/-]{1,63}\Z")


def _schedule_name(name: str) -> str:
    if not _NAME.match(name):
        raise broken("must be 1 to 63 letters, digits, - and _")
    return name


def _cron(cron: str) -> str:
    fault = "must be at most 100 characters" if len(cron) > CRON_MAX else cron_fault(cron)
    if fault is not None:
        raise broken(fault)
    return cron


def _time_zone(name: str) -> str:
    try:
        time_zone(name)
    except ValueError as error:
        raise broken("must be the name of a time zone of the IANA database, as Europe/Berlin") from error
    return name


def _payload(payload: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(payload, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise broken("must be a JSON object of texts, finite numbers, booleans, lists and objects") from error
    if size > PAYLOAD_MAX_BYTES:
        raise broken(f"must be at most {PAYLOAD_MAX_BYTES} bytes of JSON")
    return payload


def _ordering_key(key: str) -> str:
    if not GROUP_ID.fullmatch(key):
        raise broken("must be 1 to 128 letters, digits or ASCII punctuation characters")
    return key


def _labels(labels: dict[str, str]) -> dict[str, str]:
    texts = (*labels, *labels.values())
    if len(labels) > LABELS_MAX or not all(_LABEL.match(each) for each in texts):
        raise broken(
            f"must be at most {LABELS_MAX} texts; keys and values are 1 to 63 of the characters "
            "A-Z a-z 0-9 . _ / -"
        )
    return labels


ScheduleName = Annotated[str, AfterValidator(_schedule_name)]
"""The name of a schedule: it is the value of a label of its jobs."""


class RecurringSettings(Section):
    """One schedule of a queue: at each time of `cron` a job is submitted."""

    cron: Annotated[str, AfterValidator(_cron)] = Field(
        description="When a job is due: minute, hour, day of month, month, day of week, as `0 8 * * 1-5`."
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        default="UTC", description="Time zone of `cron`, from the IANA database, as `Europe/Berlin`."
    )
    payload: Annotated[dict[str, Any], AfterValidator(_payload)] = Field(
        default={}, description="What the external service gets with each job: any JSON object."
    )
    missed: Literal["skip", "latest", "all"] = Field(
        default="latest",
        description="What becomes of due times at which no relay ran, or the database was away, for a minute "
        "or longer: `skip` passes them over, `latest` submits the newest of them, `all` each of them.",
    )
    max_attempts: int | None = Field(
        default=None, ge=1, le=100, description="As `retry.max_attempts`, for these jobs; unset: the queue's."
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=36_000,
        description="As `processor.timeout_seconds`, for these jobs; unset: the queue's.",
    )
    ordering_key: Annotated[str, AfterValidator(_ordering_key)] | None = Field(
        default=None, description="`orderingKey` of these jobs."
    )
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = Field(
        default={}, description="Labels of these jobs, beside `schedule`: the schedule's name."
    )
    suspended: bool = Field(
        default=False, description="Let due times pass; they are not made up for afterwards."
    )
