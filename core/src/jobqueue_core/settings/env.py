"""Environment variables `JOBQUEUE_…` as a source, and which of them are none of our settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic_settings import EnvSettingsSource
from pydantic_settings.sources.utils import parse_env_vars

from jobqueue_core.settings.errors import SettingProblem
from jobqueue_core.settings.layers import Layer, Tree, flat
from jobqueue_core.settings.model import Settings
from jobqueue_core.settings.schema import (
    ENV_DELIMITER,
    ENV_PREFIX,
    Kind,
    Path,
    dotted,
    env_name,
    find,
    suggest,
)
from jobqueue_core.settings.sources import SourceSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

_CONTROL = frozenset({"JOBQUEUE_ENV", "JOBQUEUE_CONFIG_DIR"})
_TESTS = "JOBQUEUE_TEST_"

# Kubernetes describes every Service of the namespace to every pod in the form of Docker's links; a Service
# named jobqueue-api gives JOBQUEUE_API_SERVICE_HOST, JOBQUEUE_API_PORT=tcp://… and
# JOBQUEUE_API_PORT_8000_TCP_ADDR.
_SERVICE_LINK = re.compile(
    r"[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_LINK_URL = re.compile(r"(tcp|udp|sctp)://")


def own_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are meant as settings."""
    return {name: value for name, value in env.items() if _is_ours(name.upper(), value)}


def unknown_variables(env: Mapping[str, str]) -> tuple[SettingProblem, ...]:
    """Return a problem for every variable that the source would drop without a word.

    What it does not drop (an unknown key of a known section) the model refuses.
    """
    return tuple(
        unknown(_path(name), f"env {name}") for name in sorted(own_variables(env)) if _is_dropped(_path(name))
    )


def env_layer(env: Mapping[str, str]) -> Layer:
    """Return the settings that the environment holds."""
    # Sorted, so that JSON for a section comes before the variables that lie below it.
    own = {name: value for name, value in sorted(own_variables(env).items()) if not _is_dropped(_path(name))}
    values: Tree = _EnvSource(own)()
    names = {_path(name): name for name in own}
    return Layer(values, {path: f"env {_variable(names, path)}" for path in flat(values)})


def unknown(path: Path, source: str | None) -> SettingProblem:
    """Return the problem of a setting that does not exist, with the one that may be meant; no value."""
    near = suggest(path)
    if near is None:
        return SettingProblem(dotted(path), "unknown setting", source=source)
    hint = dotted(near)
    if source and source.startswith("env "):
        written = _path(source.removeprefix("env "))
        hint = env_name((*near, *written[len(path) :]))
    return SettingProblem(dotted(path), f"unknown setting; did you mean {hint}?", source=source)


class _EnvSource(EnvSettingsSource):
    """The source of pydantic-settings over a given mapping in place of `os.environ`."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        super().__init__(SourceSchema)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._env, self.case_sensitive, self.env_ignore_empty, self.env_parse_none_str)

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> object:
        """Decode JSON; what is none goes on as text, so that the model refuses it along with all the rest."""
        try:
            decoded: object = super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value
        return decoded


def _is_ours(name: str, value: str) -> bool:
    if not name.startswith(ENV_PREFIX) or name in _CONTROL or name.startswith(_TESTS):
        return False
    if ENV_DELIMITER in name:
        return True
    is_link_url = name.endswith("_PORT") and _SERVICE_LINK_URL.match(value)
    return not (is_link_url or _SERVICE_LINK.fullmatch(name))


def _is_dropped(path: tuple[str, ...]) -> bool:
    if path[0] not in Settings.model_fields:
        return True
    above = (find(path[:end]) for end in range(1, len(path)))
    return any(setting and setting.kind in {Kind.VALUE, Kind.LIST} for setting in above)


def _path(variable: str) -> tuple[str, ...]:
    return tuple(variable[len(ENV_PREFIX) :].lower().split(ENV_DELIMITER))


def _variable(names: Mapping[tuple[str, ...], str], path: tuple[str, ...]) -> str:
    """Return the variable that holds a value: its own, or the one that holds what it is part of as JSON."""
    lower = tuple(part.lower() for part in path)
    return next(
        (names[lower[:end]] for end in range(len(lower), 0, -1) if lower[:end] in names), env_name(path)
    )
