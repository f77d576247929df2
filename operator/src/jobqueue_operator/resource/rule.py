"""Rules of the model, each said once: in CEL for the API server, in Python for `parse`, in words for both."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

T = TypeVar("T")

VALIDATIONS = "x-kubernetes-validations"
PROBLEMS = "problems"
"""Key in the context of a pydantic error: the broken rules as (field, message)."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """A rule of a part of the spec, or (as metadata of a type) of one value.

    Attributes:
        cel: The rule in CEL; None where a schema cannot say it, so that only a condition tells.
        message: What must hold, in words.
        holds: The same rule in Python; None for a rule about a change, which only the API server sees.
        field: Path of the field at fault below the part, as `.minReplicas`; empty: the part itself.
        forbidden: The rule forbids a change.
    """

    cel: str | None
    message: str
    holds: Callable[[T], bool] | None
    field: str = ""
    forbidden: bool = False

    def as_validation(self) -> dict[str, str] | None:
        """Return the rule as an item of `x-kubernetes-validations`; None where there is no CEL."""
        if self.cel is None:
            return None
        validation = {"rule": self.cel, "message": self.message}
        if self.field:
            validation["fieldPath"] = self.field
        if self.forbidden:
            validation["reason"] = "FieldValueForbidden"
        return validation

    def __get_pydantic_core_schema__(
        self, source: type[T], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Check the rule after the value's own type."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the rule to the schema of the value."""
        json_schema = handler(schema)
        add_validations(json_schema, (self,))
        return json_schema

    def _checked(self, value: T) -> T:
        refuse_broken((self,), value)
        return value


def refuse_broken(rules: tuple[Rule[T], ...], value: T) -> None:
    """Check a value against its rules.

    Raises:
        PydanticCustomError: Rules are broken; its context has all of them under `PROBLEMS`.
    """
    broken = tuple((rule.field, rule.message) for rule in rules if rule.holds and not rule.holds(value))
    if broken:
        told = "; ".join(f"{field.lstrip('.')}: {message}" if field else message for field, message in broken)
        raise PydanticCustomError("rule", "{told}", {"told": told, PROBLEMS: broken})


def add_validations(json_schema: JsonSchemaValue, rules: tuple[Rule[Any], ...]) -> None:
    """Add rules to a JSON schema, in their order."""
    validations = [validation for rule in rules if (validation := rule.as_validation())]
    if validations:
        json_schema[VALIDATIONS] = [*json_schema.get(VALIDATIONS, ()), *validations]


def text(value: str) -> str:
    """Return a text as a literal of CEL, whose escapes are those of JSON."""
    return json.dumps(value)


def matches(regex: str, message: str, *, also: tuple[str, Callable[[str], bool]] | None = None) -> Rule[str]:
    """Return the rule that the whole text matches.

    Args:
        regex: In the syntax that RE2 and Python share.
        message: What must hold, in words.
        also: A condition beyond it, in CEL and in Python.
    """
    compiled = re.compile(regex)
    cel = f"self.matches({text(f'^(?:{regex})$')})"
    if also is None:
        return Rule(cel, message, lambda value: compiled.fullmatch(value) is not None)
    more, holds = also
    return Rule(
        f"{cel} && {more}", message, lambda value: compiled.fullmatch(value) is not None and holds(value)
    )


def problems_of(context: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Return the broken rules (field, message) of a pydantic error's context; empty: it has none."""
    return tuple(context.get(PROBLEMS, ())) if context else ()
