"""The account of the schedule: one job for each due time."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobqueue_chaos.profile import SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_chaos.facts import Facts

_EVERY = timedelta(minutes=1)


def is_recurring(document: Mapping[str, Any]) -> bool:
    """Whether the job comes from the schedule."""
    return bool(document["labels"].get("schedule") == SCHEDULE)


def wrong_due_times(facts: Facts) -> list[str]:
    """Find due times with several jobs, and those with none between the first and the last that have one."""
    counted = Counter(one["runAt"] for one in facts.documents.values() if is_recurring(one))
    found = [f"{due}: {number} jobs" for due, number in counted.items() if number > 1]
    if counted:
        due, last = min(counted), max(counted)
        while due < last:
            due += _EVERY
            if due not in counted:
                found.append(f"{due}: no job")
    return found
