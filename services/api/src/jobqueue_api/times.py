"""Points in time as requests write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from jobqueue_api.validation import broken

RULE = "must be a time of RFC 3339 with its offset, such as 2026-01-31T09:30:00Z, from 1970 to 9998"

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


def parse(value: object) -> datetime:
    """Return the time, in UTC.

    Raises:
        PydanticCustomError: it is none, or none that an id can hold.

    """
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise broken(RULE)
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise broken(RULE) from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise broken(RULE)
    return moment


Time = Annotated[datetime, BeforeValidator(parse), WithJsonSchema({"type": "string", "format": "date-time"})]
