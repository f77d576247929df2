"""What every part of the resource's model is: immutable, camelCase on the wire, without unknown fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from jobqueue_operator.resource.rule import Rule, add_validations, refuse_broken

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
PRESERVE = "x-kubernetes-preserve-unknown-fields"

T = TypeVar("T")


class Part(BaseModel):
    """A part of the resource.

    Attributes:
        RULES: What holds between its fields.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        allow_inf_nan=False,
        extra="forbid",
        frozen=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    RULES: ClassVar[tuple[Rule[Any], ...]] = ()

    @model_validator(mode="after")
    def _follow_the_rules(self) -> Self:
        refuse_broken(self.RULES, self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the rules to the schema of the part."""
        json_schema = handler.resolve_ref_schema(handler(schema))
        add_validations(json_schema, cls.RULES)
        return json_schema


def keyed_by(key: str) -> dict[str, Any]:
    """Return what marks a list in the schema whose items are told apart by a key."""
    return {LIST_TYPE: "map", LIST_KEYS: [key]}


def one_each(values: tuple[str, ...]) -> bool:
    """Whether no value occurs twice."""
    return len(set(values)) == len(values)


JsonObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", PRESERVE: True})]
"""A part of a pod's spec that Kubernetes itself checks when the Deployment is written."""
ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
"""The name of another object in the namespace of the JobQueue."""
