"""Pydantic's findings in the client's words: which field, which rule, what came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from jobqueue_api.problems import FieldError, cut, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

_BODY = "body"
_PLACES = frozenset({"query", "path", "header", _BODY})
_RULE = "rule"


def broken(rule: str) -> PydanticCustomError:
    """Return the error of a value that breaks a rule, to be raised in a validator."""
    # As context, not as template: braces in it would be read as fields.
    return PydanticCustomError(_RULE, "{rule}", {_RULE: rule})


def field_errors(
    details: Sequence[ErrorDetails],
    rules: Mapping[str, str],
    unknown: Mapping[str, str] | None = None,
) -> list[FieldError]:
    """Translate.

    Args:
        details: what pydantic found.
        rules: the whole rule of each field, by its name in requests.
        unknown: what to say of certain fields that do not exist.

    """
    found: dict[FieldError, None] = {}
    for detail in details:
        found[_field_error(detail, rules, unknown or {})] = None
    return list(found)


def _field_error(detail: ErrorDetails, rules: Mapping[str, str], unknown: Mapping[str, str]) -> FieldError:
    path = [str(part) for part in detail["loc"] if part != "[key]"]
    if path and path[0] in _PLACES:
        path = path[1:]
    name = cut(".".join(path)) or _BODY
    kind = detail["type"]
    if kind == "json_invalid":
        reason = str(detail.get("ctx", {}).get("error", "")) or "it cannot be read"
        return FieldError(_BODY, cut(f"must be JSON: {reason}"))
    if kind == "extra_forbidden":
        known = ", ".join(rules)
        return FieldError(name, unknown.get(path[0], f"is not known; known are {known}"))
    if kind == "missing":
        return FieldError(name, "is required")
    if not path:
        return FieldError(_BODY, "must be a JSON object")
    rule = detail.get("ctx", {}).get(_RULE) if kind == _RULE else None
    return FieldError(name, rules.get(path[0]) or str(rule or "is not valid"), shown(detail["input"]))
