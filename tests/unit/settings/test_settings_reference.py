from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobqueue_core.settings import reference
from jobqueue_core.settings.schema import all_settings, dotted, env_name

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[3]


def test_the_reference_is_up_to_date() -> None:
    assert reference.main(["--check", "--path", str(ROOT / reference.TARGET)]) == 0


def test_every_setting_is_described() -> None:
    assert [dotted(each.path) for each in all_settings() if not (each.field and each.field.description)] == []


def test_every_setting_outside_of_queues_has_its_row() -> None:
    text = reference.reference()
    for setting in all_settings():
        if setting.path[0] not in {"queues", "secrets"}:
            assert f"| `{dotted(setting.path)}` | `{env_name(setting.path)}` |" in text


def test_a_stale_reference_fails_and_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "docs" / "settings.md"
    assert reference.main(["--check", "--path", str(path)]) == 1
    assert "is out of date" in capsys.readouterr().err
    assert reference.main(["--write", "--path", str(path)]) == 0
    assert reference.main(["--check", "--path", str(path)]) == 0
