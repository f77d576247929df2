from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.claims import Judgement, Verdict, judge, judge_missing
from jobqueue_core.domain.ids import JobIds
from jobqueue_core.domain.job import Lease, Phase
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import Retention
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import DAY_SECONDS

if TYPE_CHECKING:
    from jobqueue_testsupport.factories import JobFactory

IN_A_MINUTE = later(START, 60)
HELD = Lease("t", "other", IN_A_MINUTE)
EXPIRED = Lease("t", "other", START)
RUN = Judgement(Verdict.RUN)
DROP = Judgement(Verdict.DROP)


@pytest.mark.parametrize(
    ("age_seconds", "verdict"),
    [
        (0, Verdict.UNKNOWN),
        (DAY_SECONDS - 0.001, Verdict.UNKNOWN),
        (DAY_SECONDS, Verdict.DROP),
        (14 * DAY_SECONDS, Verdict.DROP),
        (-60, Verdict.UNKNOWN),
    ],
    ids=["new", "younger than the shortest retention", "as old", "older", "from ahead of time"],
)
@pytest.mark.parametrize("shortest", range(3))
def test_a_message_without_a_job_is_foreign_unless_its_job_may_have_been_forgotten(
    age_seconds: float, verdict: Verdict, shortest: int
) -> None:
    kept = [30 * DAY_SECONDS] * 3
    kept[shortest] = DAY_SECONDS
    job_id = JobIds().new(START)
    assert judge_missing(job_id, later(START, age_seconds), Retention(*kept)) == Judgement(verdict)


@pytest.mark.parametrize(
    ("phase", "changes", "judgement"),
    [
        (Phase.QUEUED, {}, RUN),
        (Phase.QUEUED, {"run_at": later(START, 0.25)}, Judgement(Verdict.WAIT, 0.25)),
        (Phase.QUEUED, {"run_at": later(START, 5000)}, Judgement(Verdict.WAIT, 5000)),
        (Phase.QUEUED, {"attempts": 3}, Judgement(Verdict.EXHAUSTED)),
        (Phase.SCHEDULED, {"run_at": START}, RUN),
        (Phase.SCHEDULED, {"run_at": later(START, 900)}, Judgement(Verdict.WAIT, 900)),
        (Phase.SCHEDULED, {"run_at": later(START, 901)}, DROP),
        (Phase.RETRYING, {"run_at": START}, RUN),
        (Phase.RETRYING, {"run_at": IN_A_MINUTE}, Judgement(Verdict.WAIT, 60)),
        (Phase.RUNNING, {"lease": HELD}, Judgement(Verdict.WAIT, 60)),
        (Phase.RUNNING, {"lease": HELD, "attempts": 3}, Judgement(Verdict.WAIT, 60)),
        (Phase.RUNNING, {"lease": EXPIRED}, RUN),
        (Phase.RUNNING, {"lease": EXPIRED, "attempts": 2}, RUN),
        (Phase.RUNNING, {"lease": EXPIRED, "attempts": 3}, Judgement(Verdict.EXHAUSTED)),
        (Phase.SUCCEEDED, {}, DROP),
        (Phase.CANCELLED, {}, DROP),
        (Phase.FAILED, {}, Judgement(Verdict.DEAD_LETTER)),
        (Phase.FAILED, {"due_at": None}, DROP),
    ],
    ids=range(18),
)
def test_a_message_is_judged_by_its_job(
    job_factory: JobFactory, phase: Phase, changes: dict[str, object], judgement: Judgement
) -> None:
    assert judge(job_factory(phase, **changes), START) == judgement
