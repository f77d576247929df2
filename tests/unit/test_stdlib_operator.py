"""The folder `operator/` must never take the place of Python's own module of that name."""

from __future__ import annotations

import operator
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


def test_operator_is_the_standard_librarys() -> None:
    assert Path(operator.__file__).resolve().parent == STANDARD_LIBRARY


def test_operator_is_the_standard_librarys_in_a_process_started_at_the_root() -> None:
    command = [sys.executable, "-c", "import collections, operator; print(operator.__file__)"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert Path(result.stdout.strip()).resolve().parent == STANDARD_LIBRARY


def test_the_operators_folder_is_no_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
