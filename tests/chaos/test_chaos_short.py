"""The harness itself, in its shortest form, on the real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobqueue_chaos.mutants import MUTANTS
from jobqueue_chaos.plan import Kind
from jobqueue_chaos.selftest import CASES

CHAOS = Path(__file__).parent
SEED = "1"
LIMIT_SECONDS = 240
HALVES = (
    (Kind.SQS_STOPPED, Kind.SQS_FAILING, Kind.MONGO_HUNG),
    (Kind.SQS_HUNG, Kind.MONGO_STOPPED, Kind.DISK_FULL),
)
# One for each protection; `make chaos-selftest` has all of them, and the product beside each.
MUTANTS_SHORT = ("no-token", "send-before-insert", "no-heartbeat", "stale-receipt", "relay-by-id")


def run(*arguments: str) -> str:
    """Run the harness; its output, if it found everything in order."""
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        [sys.executable, "-m", "jobqueue_chaos", *arguments, "--short", "--seed", SEED],
        env={**os.environ, "PYTHONPATH": f"{CHAOS}{os.pathsep}{CHAOS.parent / 'support'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT_SECONDS)
    finally:
        # Never killed: it has processes, a mount and a folder to take with it.
        process.terminate()
        process.wait()
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize("kinds", HALVES, ids=["sqs", "mongo"])
def test_every_job_is_accounted_for(kinds: tuple[Kind, ...]) -> None:
    said = run("storm", "--only", ",".join(kind.option for kind in kinds))
    assert "everything accounted for" in said
    for kind in kinds:
        assert kind.value in said


@pytest.mark.parametrize("mutant", MUTANTS_SHORT)
def test_a_missing_protection_is_found(mutant: str) -> None:
    assert "found: " in run("selftest", "--mutants", mutant)


def test_every_mutant_has_a_case() -> None:
    assert [case.mutant for case in CASES] == list(MUTANTS)
