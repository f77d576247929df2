"""Writes what follows from the chart's values.yaml: values.schema.json and README.md.

`python deploy/chart/generate.py` writes both, `--check` fails when one is stale. A value's type is that of
its default, or what types.yaml says; below `config` are the types and ranges of the product's own settings.
"""

from __future__ import annotations

import argparse
import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from jobqueue_core.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).resolve().parent
CHART = HERE.parents[1] / "charts" / "jobqueue"
Schema = dict[str, Any]

_SET_BY_THE_CHART = (
    "api.host",
    "api.port",
    "api.kubernetes",
    "worker.id",
    "worker.drain_seconds",
    "worker.metrics_port",
    "operator.namespaces",
    "operator.metrics_port",
    "operator.lease.name",
    "operator.lease.namespace",
    "operator.template",
    # In a cluster the JobQueue says it; here it would be without effect.
    "scaling",
)
_LEFT_OUT = frozenset({"title", "default", "required", "secret", "form"})
_TYPES = {bool: "boolean", int: "integer", str: "string"}
_REF = "#/definitions/"


class UndescribedValueError(ValueError):
    """A value has no comment, or a comment no value."""


def described(text: str) -> dict[str, str]:
    """Return the description of each value, by its path, from the `# --` comments of values.yaml."""
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# --"):
            comment = [bare[4:].strip()]
        elif bare.startswith("#"):
            comment += [bare[1:].strip()] if comment else []
        elif ":" in bare:
            indent = len(line) - len(line.lstrip())
            parents = [parent for parent in parents if parent[0] < indent]
            parents.append((indent, bare.split(":", 1)[0]))
            if comment:
                found[".".join(name for _, name in parents)] = " ".join(comment)
            comment = []
    return found


def leaves(values: Mapping[str, Any], told: Mapping[str, str], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that has a description, with its path.

    Raises:
        UndescribedValueError: One has none.
    """
    for name, value in values.items():
        path = above + name
        if path in told:
            yield path, value
        elif isinstance(value, dict) and value:
            yield from leaves(value, told, f"{path}.")
        else:
            raise UndescribedValueError(f"values.yaml: {path} has no comment `# --`")


def values_schema(values: Mapping[str, Any], told: Mapping[str, str], types: Mapping[str, Any]) -> Schema:
    """Return the schema of the chart's values; where keys are known no other is allowed.

    Args:
        values: The defaults.
        told: Description of each value, by its path.
        types: Content of types.yaml.
    """
    config, definitions = config_schema()
    root: Schema = closed({"type": "object", "properties": {}})
    for path, value in leaves(values, told):
        place = root
        *sections, last = path.split(".")
        for section in sections:
            below = place["properties"]
            place = below.setdefault(section, closed({"type": "object", "properties": {}}))
        pattern = next((pattern for pattern in types["types"] if fnmatchcase(path, pattern)), None)
        known = config if path == "config" else types["types"][pattern] if pattern else type_of(value)
        place["properties"][last] = {"description": told[path], **closed(known)}
    root["properties"]["global"] = {"type": "object", "description": "Helm gives it to every chart."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **root,
        "definitions": closed(types["definitions"]) | definitions,
    }


def type_of(value: object) -> Schema:
    """Return the schema of a value by its default."""
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string", "minLength": 1}}
    return {"type": _TYPES[type(value)], **({"minimum": 0} if type(value) is int else {})}


def closed(node: Any) -> Any:  # noqa: ANN401 -- JSON
    """Return a schema whose objects allow the keys only that they name."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: closed(value) for key, value in node.items()}
    if isinstance(plain.get("properties"), dict) and "additionalProperties" not in plain:
        plain = {"type": "object", **plain, "additionalProperties": False}
    return plain


def config_schema() -> tuple[Schema, dict[str, Schema]]:
    """Return the schema of the settings that may stand in `config`, and its definitions.

    Any part of the settings may be given. Left out is what the chart itself sets, and what is secret: it
    would lie open in a ConfigMap.
    """
    root = Settings.model_json_schema(ref_template=_REF + "{model}")
    definitions: dict[str, Schema] = root.pop("$defs")
    for path in _SET_BY_THE_CHART:
        *sections, last = path.split(".")
        place = root
        for section in sections:
            place = definitions[place["properties"][section]["$ref"].removeprefix(_REF)]
        del place["properties"][last]
    for node in (root, *definitions.values()):
        properties = node["properties"]
        for name in [name for name in properties if is_secret(properties[name], definitions)]:
            del properties[name]
    config = without_annotations(root)
    used = set(_references(config))
    while more := {name for item in used for name in _references(definitions[item])} - used:
        used |= more
    return config, {name: without_annotations(definitions[name]) for name in sorted(used)}


def is_secret(field: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether a setting is never shown, or a list or mapping of such."""
    item = field.get("items") or field.get("additionalProperties") or field
    if not isinstance(item, dict):
        return False
    if item is not field and "$ref" in item:
        properties = definitions[item["$ref"].removeprefix(_REF)]["properties"].values()
        return any(each.get("secret") for each in properties)
    return bool(item.get("writeOnly") or item.get("secret"))


def without_annotations(node: Any) -> Any:  # noqa: ANN401 -- JSON
    """Return a schema of the model without what is no rule here: defaults, titles and what must be there."""
    if isinstance(node, list):
        return [without_annotations(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: without_annotations(value) for key, value in node.items() if key not in _LEFT_OUT}
    if "properties" in node:
        # Their names are no keywords: a setting may be called `default`.
        properties = node["properties"]
        plain["properties"] = {name: without_annotations(value) for name, value in properties.items()}
    return plain


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(_REF)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def readme(values: Mapping[str, Any], told: Mapping[str, str]) -> str:
    """Return the README: what the chart is, and every value."""
    rows = "".join(
        f"| `{path}` | `{json.dumps(value)}` | {told[path].replace('|', chr(92) + '|')} |\n"
        for path, value in leaves(values, told)
    )
    return f"""\
<!-- Made by `make chart-docs` from values.yaml; change that, not this file. -->

# The chart `jobqueue`

It deploys the API, the workers, the operator and the definition of the JobQueue resource. How to install,
upgrade and uninstall it: [Install on Kubernetes](../../docs/howto/install-on-kubernetes.md).

An unknown key is refused by `helm install`, which names it. `config` holds the product's
[settings](../../docs/reference/settings.md) with their own types and ranges. Refused there are secrets (name
them in `mongodb`, `secretEnv` or `config.secrets`), and what the chart sets itself:
{", ".join(f"`{path}`" for path in _SET_BY_THE_CHART)}.

| value | default | what it is |
|---|---|---|
{rows}"""


def main(arguments: list[str] | None = None) -> int:
    """Write both files, or check that they are up to date; returns the exit code."""
    parser = argparse.ArgumentParser(description="The schema and the README of the chart's values.")
    parser.add_argument("--check", action="store_true", help="fail where a file is out of date")
    is_check: bool = parser.parse_args(arguments).check
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values, told = yaml.safe_load(text), described(text)
    types = yaml.safe_load((HERE / "types.yaml").read_text(encoding="utf-8"))
    schema = values_schema(values, told, types)
    made = {
        CHART / "values.schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
        CHART / "README.md": readme(values, told),
    }
    stale = [path for path in made if not path.is_file() or path.read_text(encoding="utf-8") != made[path]]
    for path in stale:
        if is_check:
            print(f"{path} is out of date: make chart-docs", file=sys.stderr)
        else:
            path.write_text(made[path], encoding="utf-8")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
