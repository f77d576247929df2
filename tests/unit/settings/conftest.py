from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from jobqueue_core.settings.errors import SettingsError
from jobqueue_core.settings.load import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobqueue_core.ports.secrets import SecretReader
    from jobqueue_core.settings.model import Settings

URI = {"JOBQUEUE_MONGODB__URI": "mongodb://localhost"}


class Load(Protocol):
    """Loads settings from the text of files and an environment that has a database."""

    def __call__(
        self,
        text: str = "",
        env: Mapping[str, str] | None = None,
        *,
        secrets: SecretReader | None = None,
        **files: str,
    ) -> Settings: ...


class Lines(Protocol):
    """Loads settings that are wrong and returns the lines of the error, the folder shown as `config`."""

    def __call__(
        self,
        text: str = "",
        env: Mapping[str, str] | None = None,
        *,
        secrets: SecretReader | None = None,
        **files: str,
    ) -> list[str]: ...


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(
        text: str = "",
        env: Mapping[str, str] | None = None,
        *,
        secrets: SecretReader | None = None,
        **files: str,
    ) -> Settings:
        folder = tmp_path / "config"
        folder.mkdir(exist_ok=True)
        (folder / "application.yaml").write_text(text, encoding="utf-8")
        for name, content in files.items():
            (folder / f"application.{name}.yaml").write_text(content, encoding="utf-8")
        return load_settings({**URI, **(env or {})}, folder, secrets)

    return load


@pytest.fixture
def lines(load: Load, tmp_path: Path) -> Lines:
    def lines(
        text: str = "",
        env: Mapping[str, str] | None = None,
        *,
        secrets: SecretReader | None = None,
        **files: str,
    ) -> list[str]:
        with pytest.raises(SettingsError) as error:
            load(text, env, secrets=secrets, **files)
        return str(error.value).replace(f"{tmp_path}/", "").split("\n")

    return lines
