from __future__ import annotations

from dataclasses import replace

import pytest

from jobqueue_cli.accounts import Account, submitted_total, total
from jobqueue_core.domain.heartbeat import PhaseCounts

CLEAN = Account(
    before=PhaseCounts(succeeded=5, failed=1, queued=2),
    after=PhaseCounts(succeeded=14, failed=2, cancelled=1),
    accepted=9,
    unpromised=0,
    messages=0,
    attempts=14,
    retries=3,
    elapsed_seconds=4.0,
)


def test_it_counts_what_was_finished_since_the_start() -> None:
    assert (CLEAN.done, CLEAN.failed, CLEAN.cancelled, CLEAN.finished) == (9, 1, 1, 11)
    assert CLEAN.lost == 0
    assert CLEAN.lines() == [
        "11 jobs finished: 9 done, 1 failed, 1 cancelled",
        "14 attempts, 3 retries",
        "4.0 s, 2.8 jobs/s",
        "0 lost",
    ]


@pytest.mark.parametrize(
    ("account", "lost"),
    [
        (replace(CLEAN, accepted=11), 2),
        (replace(CLEAN, accepted=None), 0),
        (replace(CLEAN, accepted=3), 0),
        (replace(CLEAN, unpromised=4, messages=3), 1),
        (replace(CLEAN, unpromised=4, messages=9), 0),
        (replace(CLEAN, accepted=10, unpromised=1), 2),
    ],
    ids=[
        "the store has fewer than were accepted",
        "the API has forgotten",
        "jobs came another way",
        "a job without a message",
        "messages of finished jobs",
        "both",
    ],
)
def test_lost_is_what_nothing_will_finish(account: Account, lost: int) -> None:
    assert account.lost == lost
    assert account.lines()[-1] == f"{lost} lost"


def test_what_is_left_for_the_next_start_is_said() -> None:
    left = replace(CLEAN, after=replace(CLEAN.after, queued=3, running=1))

    assert "4 not finished; the next start on this folder goes on with them" in left.lines()


def test_queues_are_added_up() -> None:
    assert total([PhaseCounts(queued=1, failed=2), PhaseCounts(queued=3)]) == PhaseCounts(queued=4, failed=2)


def test_accepted_jobs_are_read_from_the_metrics_of_every_queue() -> None:
    exposition = """# HELP jobqueue_jobs_submitted Jobs stored on a client's request.
# TYPE jobqueue_jobs_submitted counter
jobqueue_jobs_submitted_total{queue="default"} 40.0 # {trace_id="x"} 1.0
jobqueue_jobs_submitted_total{queue="odd} name"} 2.0
jobqueue_jobs_submitted_created{queue="default"} 1.7e+09
"""
    assert submitted_total(exposition) == 42
