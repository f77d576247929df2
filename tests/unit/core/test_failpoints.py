"""Failpoints: parsed, armed by the environment alone, and each of them somewhere in the code."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobqueue_core import failpoints

ROOT = Path(__file__).parents[3]


def places_in_code() -> set[str]:
    found: set[str] = set()
    for part in ("core", "services", "operator"):
        for path in (ROOT / part).rglob("src/**/*.py"):
            if path.name == "failpoints.py":
                continue
            text = path.read_text(encoding="utf-8")
            for call in re.findall(r"failpoints\.hit\(([^)]*)\)", text):
                found.update(re.findall(r'"([a-z_]+\.[a-z_]+)"', call))
    return found


def test_every_place_is_in_the_code_and_every_place_in_the_code_is_known() -> None:
    assert places_in_code() == set(failpoints.PLACES)


def test_without_the_variable_nothing_is_compiled_in() -> None:
    assert failpoints.arm({}) is failpoints.arm({failpoints.PLACES_VARIABLE: ""})
    failpoints.arm({})("worker.after_claim")


@pytest.mark.parametrize(
    "text",
    [
        "worker.nowhere=kill",
        "nowhere.*=kill",
        "worker.after_claim=explode",
        "worker.after_claim",
        "worker.after_claim=delay",
        "worker.after_claim=kill:3",
        "worker.after_claim=kill@often",
        "worker.after_claim=kill@0",
    ],
)
def test_what_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        failpoints.arm({failpoints.PLACES_VARIABLE: text})


def run(actions: str, code: str) -> int:
    program = f"from jobqueue_core import failpoints\n{code}"
    environment = {failpoints.PLACES_VARIABLE: actions}
    return subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode  # noqa: S603 - our own program


def test_a_process_dies_at_its_place_and_nowhere_else() -> None:
    hit = "failpoints.hit('worker.after_claim')"
    other = "failpoints.hit('worker.before_claim')"
    killed = -signal.SIGKILL
    assert run("worker.after_claim=kill", hit) == killed
    assert run("worker.after_claim=kill", other) == 0
    assert run("worker.after_claim=kill@2", hit) == 0
    assert run("worker.after_claim=kill@2", f"{hit};{hit}") == killed
    assert run("worker.*=kill@2, api.after_send=kill", f"{hit};{other}") == killed


def test_a_delay_holds_the_process_at_each_time() -> None:
    hit = "failpoints.hit('worker.after_claim')"
    measured = f"import time; began = time.monotonic(); {hit}; {hit}; assert time.monotonic() - began >= 0.1"
    assert run("worker.after_claim=delay:0.05@*", measured) == 0
