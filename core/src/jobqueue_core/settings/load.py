"""Loading the settings: every source in order, then every problem at once."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import ValidationError

from jobqueue_core.settings.env import env_layer, unknown, unknown_variables
from jobqueue_core.settings.errors import SettingProblem, SettingsError, shown
from jobqueue_core.settings.layers import SECRET_SOURCE, Layer, Tree, merge, put, source_of, value_at, without
from jobqueue_core.settings.model import Settings
from jobqueue_core.settings.rules import secret_problems, violations
from jobqueue_core.settings.schema import Kind, Path, dotted, env_name, expectation, find
from jobqueue_core.settings.secret_source import SECRETS, read_secrets, references
from jobqueue_core.settings.sources import YamlFiles, config_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path as FilePath

    from pydantic_core import ErrorDetails

    from jobqueue_core.ports.secrets import SecretReader

EXIT_CODE = 2

_REQUIRED = ("mongodb", "uri")
_STAND_IN = "mongodb://unset"


def load_settings(
    env: Mapping[str, str], config_dir: FilePath | None = None, secrets: SecretReader | None = None
) -> Settings:
    """Load the settings: files, then secrets, then `env`; later wins.

    To be called before an event loop runs: secrets are read in one of its own.

    Args:
        env: The environment.
        config_dir: The folder of the files, in place of `JOBQUEUE_CONFIG_DIR` and `config`.
        secrets: Reads secrets; needed where the settings name any.

    Raises:
        SettingsError: Everything that is wrong.
    """
    files, problems = config_files(env, config_dir)
    yaml = YamlFiles(files)
    problems += tuple(yaml.problems)
    if problems:
        # Without its files a configuration misses what stands in them: more lines would mislead.
        raise SettingsError((*problems, *unknown_variables(env)))
    problems = unknown_variables(env)
    below, above = yaml.layer(), env_layer(env)
    kept, secret_faults = _secrets_layer(below, above, secrets)
    problems += secret_faults
    layers = (below, kept, above)
    unread = {tuple(problem.path.split(".")) for problem in secret_faults}
    settings, wrong = _validated(layers, unread)
    problems += wrong
    if problems or settings is None:
        raise SettingsError(tuple(dict.fromkeys(problems)))
    return settings


@contextmanager
def exit_on_settings_error() -> Iterator[None]:
    """Turn a `SettingsError` into one line each on standard error, and exit code 2."""
    try:
        yield
    except SettingsError as error:
        for problem in error.errors:
            print(problem, file=sys.stderr)  # noqa: T201  (logging is not configured yet)
        raise SystemExit(EXIT_CODE) from None


def load_or_exit(
    env: Mapping[str, str] | None = None,
    config_dir: FilePath | None = None,
    secrets: SecretReader | None = None,
) -> Settings:
    """Load the settings of this process; on any problem print a line each and exit with code 2."""
    with exit_on_settings_error():
        return load_settings(os.environ if env is None else env, config_dir, secrets)


def _secrets_layer(
    below: Layer, above: Layer, reader: SecretReader | None
) -> tuple[Layer, tuple[SettingProblem, ...]]:
    wanted = references(merge(below.values, above.values), above.values)
    if not wanted:
        return Layer({}), ()
    if reader is None:
        rule = "is to come from a secret, and this process has nothing to read secrets with"
        return Layer({}), tuple(SettingProblem(each.name, rule, source=each.source) for each in wanted)
    return asyncio.run(read_secrets(wanted, reader))


def _validated(
    layers: tuple[Layer, ...], unread: set[tuple[str, ...]]
) -> tuple[Settings | None, tuple[SettingProblem, ...]]:
    """Validate the merged layers; where values are wrong, the rules are still checked on all the others.

    Args:
        layers: The sources in order.
        unread: Settings whose secret could not be read: no second problem is made of their absence.
    """
    raw: Tree = {}
    for layer in layers:
        raw = merge(raw, layer.values)
    raw.setdefault("mongodb", {})  # so that what is missing is named in full
    problems: list[SettingProblem] = []
    broken: set[Path] = set(unread)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = _path(detail)
            broken.add(path)
            if path not in unread or detail["type"] != "missing":
                problems.append(_explained(detail, path, layers))
            raw = without(raw, _droppable(path))
        if value_at(raw, _REQUIRED) is None:
            put(raw, _REQUIRED, _STAND_IN)
        try:
            settings = Settings.model_validate(raw)
        except ValidationError:
            return None, tuple(problems)
    for violation in violations(settings):
        if any(_overlap(path, other) for path in violation.involves for other in broken):
            continue
        paths = (violation.path, *violation.involves)
        secret = any((source_of(layers, path) or "").startswith(SECRET_SOURCE) for path in paths)
        rule, got = violation.told(secret=secret)
        problems.append(
            SettingProblem(dotted(violation.path), rule, got, _source_below(layers, violation.path))
        )
    problems.extend(secret_problems(settings, lambda path: source_of(layers, path)))
    return settings, tuple(problems)


def _explained(detail: ErrorDetails, path: Path, layers: tuple[Layer, ...]) -> SettingProblem:
    source = source_of(layers, path)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return unknown(path, _source_below(layers, path))
    if kind == "missing":
        in_item = path[0] == SECRETS or any(isinstance(part, int) for part in path)
        hint = "" if in_item else f": set it, or {env_name(path)}"
        return SettingProblem(dotted(path), f"is required{hint}", source=source)
    setting = find(path)
    rule = detail.get("ctx", {}).get("rule") if kind == "setting" else None
    if rule is None:
        rule = f"must be {expectation(setting)}" if setting else "is not valid"
        if (
            setting
            and setting.kind is not Kind.VALUE
            and setting.form is None
            and (source or "")[:4] == "env "
        ):
            rule += ", written as JSON"
    secret = setting is None or setting.secret or (source or "").startswith(SECRET_SOURCE)
    # Text in place of a section may be any of the section's values: a connection string, a header.
    hidden = secret or (setting is not None and setting.kind is not Kind.VALUE and setting.form is None)
    return SettingProblem(dotted(path), str(rule), None if hidden else shown(detail["input"]), source)


def _source_below(layers: tuple[Layer, ...], path: Path) -> str | None:
    """Return where a value comes from, or the first value below a section; None for a default."""
    for layer in reversed(layers):
        if path in layer.sources:
            return layer.sources[path]
    for layer in reversed(layers):
        for known, source in layer.sources.items():
            if known[: len(path)] == path:
                return source
    return None


def _path(detail: ErrorDetails) -> Path:
    return tuple(part for part in detail["loc"] if part != "[key]")


def _droppable(path: Path) -> Path:
    """Return what to take out for the rest to be valid: a list or a secret's entry goes as a whole."""
    for index, part in enumerate(path):
        if isinstance(part, int):
            return path[:index]
    return path[:2] if path[0] == SECRETS else path


def _overlap(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
