"""The cron expressions and time zones of schedules, once as rules of the schema and once for `parse`.

The grammar is that part of the usual syntax which cronsim reads: every expression that passes here is read
by it.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from jobqueue_operator.resource.rule import Rule, matches

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_STEP = "[1-9][0-9]?"
_MINUTE = "[0-5]?[0-9]"
_HOUR = "(?:[01]?[0-9]|2[0-3])"
_DAY = "(?:0?[1-9]|[12][0-9]|3[01])"
_MONTH = "(?:0?[1-9]|1[0-2])"
_WEEKDAY = "0?[0-7]"


def _field(number: str, names: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> str:
    ranges = [rf"{number}(?:-{number})?"]
    if names:
        name = f"(?:{'|'.join(names)})"
        ranges.append(rf"{name}(?:-{name})?")
    item = "|".join([rf"(?:\*|{'|'.join(ranges)})(?:/{_STEP})?", *also])
    return rf"(?:{item})(?:,(?:{item}))*"


GRAMMAR = (
    "(?i:"
    + " +".join(
        (
            _field(_MINUTE),
            _field(_HOUR),
            _field(_DAY, also=("LW?",)),
            _field(_MONTH, MONTHS),
            _field(_WEEKDAY, WEEKDAYS, (f"{_WEEKDAY}L", f"(?:{_WEEKDAY}|{'|'.join(WEEKDAYS)})#[1-5]")),
        )
    )
    + ")"
)

_NUMBERS = re.compile(r"([0-9]+)-([0-9]+)")
_NAMES = re.compile(r"([A-Z]{3})-([A-Z]{3})")
_ORDER = " ".join((*MONTHS, *WEEKDAYS))


def runs_forwards(cron: str) -> bool:
    """Whether every range of an expression begins with its lower end."""
    return all(int(low) <= int(high) for low, high in _NUMBERS.findall(cron)) and all(
        _ORDER.find(low) <= _ORDER.find(high) for low, high in _NAMES.findall(cron.upper())
    )


Cron = Annotated[
    str,
    Field(max_length=100),
    matches(
        GRAMMAR,
        "must be a cron expression of five fields: minute 0-59, hour 0-23, day of month 1-31 (or L, LW), "
        "month 1-12 or jan-dec, day of week 0-7 or sun-sat (or 5L, fri#2); each a value, a range a-b, "
        "a list a,b or *, with a step /n or without",
    ),
    Rule(
        cel="self.findAll('[0-9]+-[0-9]+').all(range, "
        "int(range.split('-')[0]) <= int(range.split('-')[1])) && "
        "self.upperAscii().findAll('[A-Z]{3}-[A-Z]{3}').all(range, "
        f"'{_ORDER}'.indexOf(range.substring(0, 3)) <= '{_ORDER}'.indexOf(range.substring(4)))",
        message="a range a-b of a cron expression must not run backwards (sunday is 0 and 7, the name 0)",
        holds=runs_forwards,
    ),
]

TimeZone = Annotated[
    str,
    Field(max_length=64),
    matches(
        "[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*",
        "must be the name of a time zone, as UTC or Europe/Berlin",
    ),
]
