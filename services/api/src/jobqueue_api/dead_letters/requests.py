"""What is to be run again: the body of a redrive, and the rule of each of its fields."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from jobqueue_api.problems import FieldError, invalid
from jobqueue_api.validation import broken, field_errors
from jobqueue_core.domain.fingerprints import FINGERPRINT
from jobqueue_core.domain.ids import is_job_id
from jobqueue_core.domain.redrives import JOB_IDS_MAX, PER_SECOND_MAX, Selection

LIMIT_MAX: Final = 500
GROUPS_MAX: Final = 100
FOREIGN_MAX: Final = 100

RULES: Final = {
    "group": "must be the fingerprint of a group: 12 hexadecimal digits in lower case",
    "jobIds": f"must be an array of 1 to {JOB_IDS_MAX} job ids",
    "perSecond": f"must be a number above 0 and at most {PER_SECOND_MAX:g}, or left out",
    "limit": "must be an integer, at least 1 and at most the operation's maximum",
    "cursor": "must be the nextCursor of an earlier answer",
}


def _fingerprint(value: str) -> str:
    if not FINGERPRINT.fullmatch(value):
        raise broken(RULES["group"])
    return value


def _job_id(value: str) -> str:
    if not is_job_id(value):
        raise broken(RULES["jobIds"])
    return value


Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


class RedriveRequest(BaseModel):
    """Which failed jobs are to run again. Without `group` and `jobIds`: all of the queue."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    group: Fingerprint | None = Field(default=None, description="Those of this group only.")
    job_ids: list[Annotated[str, AfterValidator(_job_id)]] | None = Field(
        default=None,
        alias="jobIds",
        min_length=1,
        max_length=JOB_IDS_MAX,
        description="These jobs only; not together with `group`.",
    )
    per_second: float | None = Field(
        default=None,
        alias="perSecond",
        gt=0,
        le=PER_SECOND_MAX,
        description="Jobs a second at most; left out: as fast as it goes.",
    )

    @property
    def selection(self) -> Selection:
        """What is asked for; a job named twice is named once."""
        return Selection(self.group, tuple(sorted(set(self.job_ids or ()))))


_REQUEST: Final = TypeAdapter(RedriveRequest)


def parse_redrive(body: bytes) -> RedriveRequest:
    """Return what a body asks for; an empty one asks for all.

    Raises:
        Problem: every field that breaks a rule.

    """
    try:
        request = _REQUEST.validate_json(body or b"{}")
    except ValidationError as error:
        rules = {name: RULES[name] for name in ("group", "jobIds", "perSecond")}
        raise invalid(*field_errors(error.errors(include_url=False), rules)) from None
    if request.group is not None and request.job_ids is not None:
        raise invalid(FieldError("jobIds", "must not come together with group"))
    return request
