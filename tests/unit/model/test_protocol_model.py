"""The protocol under any order of steps, faults and deaths that the model can make."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from jobqueue_testsupport.model.machine import Exploration

EXAMPLES_VARIABLE = "JOBQUEUE_TEST_MODEL_EXAMPLES"
_EXAMPLES = 80


def test_every_accepted_job_ends_exactly_once() -> None:
    asked = os.environ.get(EXAMPLES_VARIABLE)
    budget = settings(
        max_examples=int(asked or _EXAMPLES),
        stateful_step_count=50,
        # A longer search looks elsewhere each time; the moves that it prints repeat what it finds.
        derandomize=asked is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Exploration, settings=budget)
