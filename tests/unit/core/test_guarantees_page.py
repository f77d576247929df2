"""The page of guarantees says of every step what is left when a process dies there."""

from __future__ import annotations

import re
from pathlib import Path

from jobqueue_core.failpoints import PLACES
from jobqueue_core.settings.schema import all_settings, dotted

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "guarantees.md"


def test_every_step_has_its_row_in_the_order_of_a_jobs_life() -> None:
    rows = re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert rows == list(PLACES)


def test_every_setting_that_is_named_exists() -> None:
    known = {dotted(setting.path) for setting in all_settings()}
    named = set(re.findall(r"`([a-z]+(?:\.[a-z]+(?:_[a-z]+)*)+)`", PAGE.read_text())) - set(PLACES)
    assert len(named) > 10
    assert {name for name in named if not name.startswith("jobqueue_")} - known == set()
