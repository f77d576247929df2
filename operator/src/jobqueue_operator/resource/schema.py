"""From the model to the schema of a CRD: structural, as Kubernetes demands it, in OpenAPI 3.0.

Pydantic writes JSON schema 2020-12. Here references are put in place, what may be absent is plain (in
Kubernetes absent is unset), and keywords that OpenAPI 3.0 or a structural schema does not know are rewritten
or left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from jobqueue_operator.resource.part import LIST_TYPE, PRESERVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

Schema: TypeAlias = dict[str, Any]

_INT32_MAX = 2**31 - 1
_DROPPED = (
    "title",
    "additionalProperties",
    "anyOf",
    "const",
    "exclusiveMinimum",
    "default",
    "properties",
    "items",
)
_FIRST = ("description", "type", "format", "default", "enum")
_LAST = ("required", "properties", "items", "additionalProperties")


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a part of the resource.

    Raises:
        ValueError: The model holds what no structural schema can say.
    """
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    node = _plain(node, definitions)
    if "anyOf" in node:
        msg = f"a union has no place in a structural schema: {node['anyOf']}"
        raise ValueError(msg)
    schema: Schema = {key: value for key, value in node.items() if key not in {*_DROPPED, "$defs"}}
    if "const" in node:
        schema["enum"] = [node["const"]]
    if "exclusiveMinimum" in node:
        schema |= {"minimum": _number(node["exclusiveMinimum"]), "exclusiveMinimum": True}
    if schema.get("type") == "integer":
        schema["format"] = "int32" if node.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64"
    elif schema.get("type") == "number":
        schema["format"] = "double"
    elif schema.get("type") == "array":
        schema.setdefault(LIST_TYPE, "atomic")
        schema["items"] = _structural(node["items"], definitions)
    elif isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "properties" in node:
        schema["properties"] = {
            name: _structural(child, definitions) for name, child in node["properties"].items()
        }
    if (default := _default(node, schema)) is not None:
        schema["default"] = default
    return _ordered(schema)


def _plain(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put what is referred to in place, and take null away from a choice; the node's own words win."""
    own = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
    if "$ref" in node:
        return {**_plain(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions), **own}
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return {**_plain(choices[0], definitions), **own}
    return node


def _default(node: Mapping[str, Any], schema: Schema) -> object:
    """What the API server fills in; a part that is left out is made of the defaults of its fields.

    All of them are written out: rules are checked against a default before its own fields get theirs.
    """
    default = node.get("default")
    if schema.get("type") == "object" and default is not None:
        below = schema.get("properties", {})
        return {name: child["default"] for name, child in below.items() if "default" in child} or None
    if schema.get("type") == "array":
        return None
    return _number(default) if isinstance(default, float) else default


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def _ordered(schema: Schema) -> Schema:
    """Put the keywords in the order in which people read them."""
    first = [key for key in _FIRST if key in schema]
    last = [key for key in _LAST if key in schema]
    between = sorted(key for key in schema if key not in {*first, *last})
    return {key: schema[key] for key in (*first, *between, *last)}


def takes_any(schema: Mapping[str, Any]) -> bool:
    """Whether an object may hold fields that the schema does not name."""
    return bool(schema.get(PRESERVE)) and "properties" not in schema
