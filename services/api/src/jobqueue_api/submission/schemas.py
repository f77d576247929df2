"""The body of a submission, and the rule of each of its fields."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from jobqueue_api import times
from jobqueue_api.validation import broken
from jobqueue_core.domain.message import GROUP_ID

ATTEMPTS_MAX = 100
TIMEOUT_MAX_SECONDS = 36_000
LABELS_MAX = 16
LABEL_LENGTH_MAX = 63
IDEMPOTENCY_KEY_MAX = 255

_IDEMPOTENCY_KEY = re.compile(rf"[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_MAX}}}")
_LABEL = re.compile(rf"[A-Za-z0-9._/-]{{1,{LABEL_LENGTH_MAX}}}")

RULES: Final = {
    "queue": "must be the name of a configured queue",
    "payload": "must be a JSON object of finite numbers",
    "idempotencyKey": f"must be 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters",
    "runAt": times.RULE,
    "delaySeconds": "must be a number of seconds, at least 0 and at most the configured maximum",
    "maxAttempts": f"must be an integer, at least 1 and at most {ATTEMPTS_MAX}",
    "timeoutSeconds": f"must be a number of seconds, above 0 and at most {TIMEOUT_MAX_SECONDS}",
    "orderingKey": "must be 1 to 128 letters, digits or ASCII punctuation characters",
    "labels": f"must be an object of at most {LABELS_MAX} texts; "
    f"keys and values are 1 to {LABEL_LENGTH_MAX} of the characters A-Z a-z 0-9 . _ / -",
}
UNKNOWN: Final = dict.fromkeys(("priority", "callbackUrl"), "is not supported yet: leave it out")


def idempotency_key(value: str) -> str:
    """Return the key if it can be one.

    Raises:
        PydanticCustomError: it cannot.

    """
    if not _IDEMPOTENCY_KEY.fullmatch(value):
        raise broken(RULES["idempotencyKey"])
    return value


def _ordering_key(value: str) -> str:
    if not GROUP_ID.fullmatch(value):
        raise broken(RULES["orderingKey"])
    return value


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise broken(RULES["labels"])
    return value


IdempotencyKey = Annotated[str, AfterValidator(idempotency_key)]
Label = Annotated[str, AfterValidator(_label)]


class JobRequest(BaseModel):
    """One job to be run. Every field may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    queue: str | None = Field(default=None, description="The queue; left out: the default queue.")
    payload: dict[str, Any] = Field(
        default={}, description="What the external service gets: any JSON object."
    )
    idempotency_key: IdempotencyKey | None = Field(
        default=None,
        alias="idempotencyKey",
        description="The same key in the same queue is the same job: submitted again, it is answered again "
        "and stored once. Also the header Idempotency-Key.",
    )
    run_at: times.Time | None = Field(
        default=None, alias="runAt", description="Not before this time. Not together with delaySeconds."
    )
    delay_seconds: float | None = Field(
        default=None, alias="delaySeconds", ge=0, description="Not before this many seconds."
    )
    max_attempts: int | None = Field(
        default=None,
        alias="maxAttempts",
        ge=1,
        le=ATTEMPTS_MAX,
        description="Calls of the external service at most, the first included; left out: the queue's.",
    )
    timeout_seconds: float | None = Field(
        default=None,
        alias="timeoutSeconds",
        gt=0,
        le=TIMEOUT_MAX_SECONDS,
        description="Longest wait for one answer of the external service; left out: the queue's.",
    )
    ordering_key: Annotated[str, AfterValidator(_ordering_key)] | None = Field(
        default=None,
        alias="orderingKey",
        description="On a FIFO queue, jobs of one key run one after another in the order of submission; on a "
        "standard queue, no key can crowd out the others.",
    )
    labels: dict[Label, Label] = Field(
        default={}, max_length=LABELS_MAX, description="Yours: kept with the job and shown with it."
    )


REQUEST: Final = TypeAdapter(JobRequest)


class Accepted(BaseModel):
    """The job is stored: it will run."""

    message: str = Field(description="Always `Job added successfully`.")
    job_id: str = Field(alias="jobId", description="Its id.")
