"""Finding a setting in the model by its path: its kind, its words, its neighbours."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeGuard, Union, get_args, get_origin

from pydantic import SecretStr

from jobqueue_core.settings.fields import FORM, SECRET, Section
from jobqueue_core.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

Path: TypeAlias = tuple[str | int, ...]

ENV_PREFIX = "JOBQUEUE_"
ENV_DELIMITER = "__"
ANY_NAME = "<name>"

_SIMILAR_NAME = 0.6
_SIMILAR_PATH = 0.75


class Kind(Enum):
    """What the value of a setting is."""

    SECTION = "section"
    MAPPING = "mapping"
    LIST = "list"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the model.

    Attributes:
        path: Where it is; `ANY_NAME` stands for a name that the user chooses.
        annotation: Its type, without `None` and metadata.
        field: Its field, None for an item of a mapping or a list.
        secret: Whether its value is never shown.
    """

    path: Path
    annotation: object
    field: FieldInfo | None
    secret: bool

    @property
    def kind(self) -> Kind:
        """What its value is."""
        if _is_section(self.annotation):
            return Kind.SECTION
        origin = get_origin(self.annotation)
        return Kind.MAPPING if origin is dict else Kind.LIST if origin is tuple else Kind.VALUE

    @property
    def form(self) -> str | None:
        """How it is written, where it is a section that reads as one setting."""
        extra = self.field.json_schema_extra if self.field else None
        form = extra.get(FORM) if isinstance(extra, dict) else None
        return form if isinstance(form, str) else None


def dotted(path: Path) -> str:
    """Return a path as people write it: `api.auth.keys[0].name`, `secrets."mongodb.uri".key`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (f'"{part}"' if "." in part else part)
    return text


def env_name(path: Path) -> str:
    """Return the environment variable of a setting."""
    parts = [str(part) if part == ANY_NAME else str(part).upper() for part in path]
    return ENV_PREFIX + ENV_DELIMITER.join(parts)


def find(path: Path) -> Setting | None:
    """Return the setting at a path, or None where the model has none."""
    found = Setting((), Settings, None, secret=False)
    for part in path:
        child = _child(found, part)
        if child is None:
            return None
        found = child
    return found


def settings_below(parent: Setting) -> Iterator[Setting]:
    """Yield every setting below a section that has a value of its own, in the model's order."""
    if not _is_section(parent.annotation):
        return
    for name in parent.annotation.model_fields:
        child = _child(parent, name)
        if child is None:
            continue
        item = _child(child, ANY_NAME) if child.kind is Kind.MAPPING else child
        if item is not None and item.kind is Kind.SECTION and child.form is None:
            yield from settings_below(item)
        else:
            yield child


def all_settings() -> tuple[Setting, ...]:
    """Return every setting that has a value of its own."""
    return tuple(settings_below(Setting((), Settings, None, secret=False)))


def suggest(path: Path) -> Path | None:
    """Return the known setting that an unknown path most resembles."""
    parent, last = path[:-1], str(path[-1])
    for end in range(1, len(path)):
        above = find(path[:end])
        if above and above.kind in {Kind.VALUE, Kind.LIST}:
            return above.path
    section = find(parent)
    if section and _is_section(section.annotation):
        near = difflib.get_close_matches(last, section.annotation.model_fields, n=1, cutoff=_SIMILAR_NAME)
        if near:
            return (*parent, near[0])
    known = {dotted(setting.path): setting.path for setting in all_settings()}
    near = difflib.get_close_matches(dotted(path), known, n=1, cutoff=_SIMILAR_PATH)
    return known[near[0]] if near else next((at for at in known.values() if at[-1] == last), None)


def expectation(setting: Setting) -> str:
    """Return what a value of the setting is, as in `a whole number from 1 to 100`."""
    if setting.form:
        return setting.form
    if setting.kind is not Kind.VALUE:
        return "a list" if setting.kind is Kind.LIST else "a mapping"
    kind = setting.annotation
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    limits = _limits(setting.field)
    if kind is int:
        return "a whole number" + _range(limits)
    if kind is float:
        return "a number" + _range(limits)
    return "true or false" if kind is bool else "text" + _length(limits)


def _child(parent: Setting, part: str | int) -> Setting | None:
    field = None
    annotation: object
    if _is_section(parent.annotation):
        field = parent.annotation.model_fields.get(str(part))
        if field is None:
            return None
        annotation = field.annotation
    elif parent.kind is Kind.MAPPING:
        annotation = get_args(parent.annotation)[1]
    elif parent.kind is Kind.LIST and isinstance(part, int):
        annotation = get_args(parent.annotation)[0]
    else:
        return None
    annotation = _plain(annotation)
    extra = field.json_schema_extra if field else None
    marked = isinstance(extra, dict) and bool(extra.get(SECRET))
    return Setting((*parent.path, part), annotation, field, marked or annotation is SecretStr)


def _plain(annotation: object) -> object:
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        (only,) = (arg for arg in get_args(annotation) if arg is not NoneType)
        return _plain(only)
    return annotation


def _is_section(annotation: object) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _limits(field: FieldInfo | None) -> dict[str, float]:
    limits: dict[str, float] = {}
    for item in field.metadata if field else ():
        for name in ("ge", "gt", "le", "min_length", "max_length"):
            value = getattr(item, name, None)
            if isinstance(value, (int, float)):
                limits[name] = value
    return limits


def _range(limits: dict[str, float]) -> str:
    low, above, high = (limits.get(name) for name in ("ge", "gt", "le"))
    if low is not None and high is not None:
        return f" from {low:.15g} to {high:.15g}"
    texts = [
        f"{word} {limit:.15g}"
        for word, limit in (("at least", low), ("above", above), ("at most", high))
        if limit is not None
    ]
    return " " + " and ".join(texts) if texts else ""


def _length(limits: dict[str, float]) -> str:
    low, high = limits.get("min_length"), limits.get("max_length")
    if high is not None:
        return f" of {low or 0:.15g} to {high:.15g} characters"
    return ", not empty" if low else ""
