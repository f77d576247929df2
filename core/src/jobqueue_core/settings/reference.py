"""The reference of all settings, made from the model.

`python -m jobqueue_core.settings.reference --write` writes it, `--check` fails where it is out of date; both
from the root of the repository.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from jobqueue_core.settings.model import Settings
from jobqueue_core.settings.queue import QueueOverrides
from jobqueue_core.settings.schema import (
    ANY_NAME,
    ENV_PREFIX,
    Kind,
    Setting,
    dotted,
    env_name,
    expectation,
    find,
    settings_below,
)
from jobqueue_core.settings.secret_source import SECRETS

TARGET = Path("docs/reference/settings.md")

_HEAD = """\
<!-- Made by `python -m jobqueue_core.settings.reference --write`; change the model, not this file. -->

# Settings

Every setting, with the environment variable that sets it, its type, its default and its meaning. How the
sources are laid over each other stands in [Configure](../howto/configure.md). Durations are in seconds.
"""

_CONTROL = """
## Where settings come from

| environment variable | meaning |
|---|---|
| `JOBQUEUE_CONFIG_DIR` | Folder of the files; default `config`. Where it is set, the folder and its `application.yaml` must exist. |
| `JOBQUEUE_ENV` | Name of the environment: `application.<JOBQUEUE_ENV>.yaml` is laid over `application.yaml`, and must exist. |
"""  # noqa: E501  (a row of a table is one line)

_TABLE = "| setting | environment variable | type | default | meaning |\n|---|---|---|---|---|\n"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def reference() -> str:
    """Return the reference as Markdown."""
    single = [setting for name in Settings.model_fields if (setting := _top(name)).kind is Kind.VALUE]
    parts = [_HEAD, _CONTROL, "\n## At the top\n\n", _TABLE, *map(_row, single)]
    for name in Settings.model_fields:
        setting = _top(name)
        if setting.kind is Kind.VALUE or setting.field is None:
            continue
        parts.append(f"\n## `{name}`\n\n{setting.field.description}\n\n")
        parts.append(_queues() if name == "queues" else _TABLE + "".join(map(_row, _rows(setting))))
    return "".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Write the reference, or check that it is up to date; returns the exit code."""
    parser = argparse.ArgumentParser(description="The reference of all settings.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the file")
    mode.add_argument("--check", action="store_true", help="fail where the file is out of date")
    parser.add_argument("--path", type=Path, default=TARGET, help="the file (default: %(default)s)")
    options = parser.parse_args(arguments)
    path: Path = options.path
    if options.write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reference(), encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == reference():
        return 0
    sys.stderr.write(f"{path} is out of date: python -m jobqueue_core.settings.reference --write\n")
    return 1


def _top(name: str) -> Setting:
    setting = find((name,))
    if setting is None:
        raise KeyError(name)
    return setting


def _rows(section: Setting) -> tuple[Setting, ...]:
    if section.kind is Kind.SECTION:
        return tuple(settings_below(section))
    item = find((*section.path, "<setting>" if section.path == (SECRETS,) else ANY_NAME))
    return tuple(settings_below(item)) if item else ()


def _queues() -> str:
    groups = "".join(
        f"| `queues.<name>.{group}` | {', '.join(f'`{_short(group, each)}`' for each in settings)} |\n"
        for group in QueueOverrides.model_fields
        if (below := find(("queues", ANY_NAME, group))) and (settings := _rows(below))
    )
    variable = env_name(("queues", "emails", "retry", "max_attempts"))
    return (
        "A queue inherits the top level; only the keys that are set here differ. Types, defaults and\n"
        "meanings are those of the sections of the same name. A queue's name has 1 to 80 letters, digits,\n"
        "- and _.\n\n"
        f"The environment variable of `queues.emails.retry.max_attempts` is `{variable}`.\n"
        "\n"
        f"| below | settings |\n|---|---|\n{groups}"
    )


def _short(group: str, setting: Setting) -> str:
    return dotted(setting.path).removeprefix(f"queues.<name>.{group}.")


def _row(setting: Setting) -> str:
    meaning = (setting.field.description or "" if setting.field else "").replace("|", "\\|")
    kind = expectation(setting).removeprefix("a ")
    kind = f"`{kind.replace(' or ', '`, `')}`" if setting.kind is Kind.VALUE and " or " in kind else kind
    kind = kind.replace("`true`, `false`", "true or false") + (", as JSON" if _is_json(setting) else "")
    variable = (
        f"`{env_name(setting.path)}`"
        if "<setting>" not in setting.path
        else f"`{ENV_PREFIX}SECRETS`, as JSON"
    )
    return f"| `{dotted(setting.path)}` | {variable} | {kind} | {_default(setting)} | {meaning} |\n"


def _is_json(setting: Setting) -> bool:
    return setting.kind in {Kind.LIST, Kind.MAPPING}


def _default(setting: Setting) -> str:
    default: object = PydanticUndefined if setting.field is None else setting.field.default
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "unset"
    if isinstance(default, (dict, tuple, BaseModel)):
        return "`Hold`" if setting.form else "empty"
    text = f"{default:.15g}" if isinstance(default, float) else str(default)
    text = text.lower() if isinstance(default, bool) else text
    is_duration = str(setting.path[-1]).endswith("_seconds")
    return f"`{text}`" + (_readable(default) if is_duration else "")


def _readable(seconds: object) -> str:
    for size, unit in _UNITS:
        if isinstance(seconds, (int, float)) and seconds >= 2 * size and seconds % size == 0:
            return f" ({seconds / size:.15g} {unit})"
    return ""


if __name__ == "__main__":
    sys.exit(main())
