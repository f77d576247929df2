"""The account of ordering keys: first successes in the order of submission."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from jobqueue_chaos.profile import ORDERED

if TYPE_CHECKING:
    from jobqueue_chaos.facts import Facts

_OK = 200


def out_of_order(facts: Facts) -> list[str]:
    """Find jobs of a key whose first success came before that of one submitted earlier."""
    done: dict[str, float] = {}
    for call in facts.calls:
        if call.code == _OK and call.ended is not None and call.job_id not in done:
            done[call.job_id] = call.ended
    of_key: dict[str, list[str]] = defaultdict(list)
    for job in sorted(facts.submitted.values(), key=lambda job: job.number):
        if job.spec.queue == ORDERED and job.spec.ordering_key is not None and job.job_id in done:
            of_key[job.spec.ordering_key].append(job.job_id)
    return [
        f"{key}: {later} before {earlier}"
        for key, job_ids in of_key.items()
        for earlier, later in pairwise(job_ids)
        if done[later] < done[earlier]
    ]
