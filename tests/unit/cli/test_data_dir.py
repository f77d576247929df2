from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobqueue_cli.datadir import DataDir, tail
from jobqueue_cli.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_run_on_the_folder_is_refused_by_the_process_id(tmp_path: Path) -> None:
    with (
        DataDir(tmp_path / "data"),
        pytest.raises(CommandError, match=f"process id {os.getpid()}") as refused,
        DataDir(tmp_path / "data"),
    ):
        pass

    assert refused.value.exit_code == 2


def test_once_a_run_has_ended_the_folder_is_free(tmp_path: Path) -> None:
    with DataDir(tmp_path / "data"):
        pass
    with DataDir(tmp_path / "data") as data:
        assert data.logs.is_dir()


def test_the_logs_of_the_run_before_are_kept_aside(tmp_path: Path) -> None:
    with DataDir(tmp_path) as data:
        data.log("api").write_text("first")
    with DataDir(tmp_path) as data:
        assert not data.log("api").exists()
        assert (data.logs / "api.log.1").read_text() == "first"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(CommandError, match=r"--data-dir .*file: cannot be written: "),
        DataDir(tmp_path / "file"),
    ):
        pass


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == "    (empty)"
    log.write_bytes(b"one\ntwo\n\xffthree\n")
    assert tail(log, lines=2) == "    two\n    \ufffdthree"
