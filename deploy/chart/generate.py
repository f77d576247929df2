"""Writes what follows from the chart's values.yaml: values.schema.json and README.md.

`python deploy/chart/generate.py` writes both, `--check` fails when one is stale. A value's type is that
of its default; the settings below `config` have the types and rules of the product's own settings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from jobqueue_core.settings.model import Settings

CHART = Path(__file__).resolve().parents[2] / "charts" / "jobqueue"
Schema = dict[str, Any]

# What a default cannot say.
_ENUMS = {
    "image.pullPolicy": ["Always", "IfNotPresent", "Never"],
    "api.service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
}
_NULLABLE_INTEGERS = {"worker.replicas"}
_INT_OR_TEXT = {"api.pdb.maxUnavailable", "operator.pdb.maxUnavailable"}
_REQUIRED_KEYS = {"secretEnv": ("name", "secret", "key")}


def schema_of(  # noqa: PLR0911 -- one return a kind of value
    values: Any,  # noqa: ANN401 -- YAML
    path: str = "",
    told: dict[str, str] | None = None,
) -> Schema:
    """Return the schema of a value, by its default; no unknown keys where keys are known."""
    told = told or {}
    about = {"description": told[path]} if path in told else {}
    if path == "config":
        return {**about, **config_schema()}
    if path in _ENUMS:
        return {**about, "type": "string", "enum": _ENUMS[path]}
    if path in _NULLABLE_INTEGERS:
        return {**about, "type": ["integer", "null"], "minimum": 0}
    if path in _INT_OR_TEXT:
        return {**about, "type": ["integer", "string"]}
    if path in _REQUIRED_KEYS:
        keys = _REQUIRED_KEYS[path]
        item = {
            "type": "object",
            "properties": {key: {"type": "string", "minLength": 1} for key in keys},
            "required": list(keys),
            "additionalProperties": False,
        }
        return {**about, "type": "array", "items": item}
    if isinstance(values, dict):
        if not values or path.endswith(".resources"):
            return {**about, "type": "object"}
        properties = {
            key: schema_of(value, f"{path}.{key}" if path else key, told) for key, value in values.items()
        }
        return {**about, "type": "object", "properties": properties, "additionalProperties": False}
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array"}
    found: Schema = {**about, "type": kinds[type(values)]}
    if found["type"] == "integer":
        found["minimum"] = 0
    return found


def config_schema() -> Schema:
    """Return the schema of the settings, any part of which may be given; references are written out."""
    whole = Settings.model_json_schema()
    definitions = whole.get("$defs", {})

    def plain(node: Any) -> Any:  # noqa: ANN401 -- JSON
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return plain({**definitions[node["$ref"].rsplit("/", 1)[-1]], **rest})
        properties = node.get("properties")
        kept = {
            key: plain(value)
            for key, value in node.items()
            if key not in {"title", "default", "required", "$defs", "properties", "writeOnly", "format"}
        }
        if properties is not None:
            kept["properties"] = {name: plain(value) for name, value in properties.items()}
        return kept

    schema: Schema = plain(whole)
    # Written `Hold` or as a mapping; the product itself judges it.
    schema["properties"]["scaling"]["properties"]["on_unknown"] = {"type": ["string", "object"]}
    return schema


def described(text: str) -> dict[str, str]:
    """Return the description of each value, by its path, from the `# --` comments."""
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# --"):
            comment = [bare[4:].strip()]
        elif bare.startswith("#") and comment:
            comment.append(bare[1:].strip())
        elif ":" in bare and not bare.startswith("#"):
            indent = len(line) - len(line.lstrip())
            parents = [parent for parent in parents if parent[0] < indent]
            parents.append((indent, bare.split(":", 1)[0]))
            if comment:
                found[".".join(name for _, name in parents)] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


def readme(values: Schema, told: dict[str, str]) -> str:
    """Return the README: what the chart is, and every value."""
    rows = []
    for path, text in told.items():
        value: Any = values
        for part in path.split("."):
            value = value[part]
        rows.append(f"| `{path}` | `{json.dumps(value)}` | {text.replace('|', chr(92) + '|')} |")
    table = "\n".join(rows)
    return f"""# The chart `jobqueue`

<!-- Made by `make chart-docs` from values.yaml; change that, not this file. -->

It deploys the API, the workers, the operator and the CRD. How to install, upgrade and uninstall it:
[docs/howto/install-on-kubernetes.md](../../docs/howto/install-on-kubernetes.md).

An unknown key is refused by `helm install`, which names it. `config` holds the product's settings,
[all of them](../../docs/reference/settings.md), with their own types and rules.

| value | default | what it is |
|---|---|---|
{table}
"""


def main() -> int:
    """Write or check both files."""
    text = (CHART / "values.yaml").read_text()
    values, told = yaml.safe_load(text), described(text)
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **schema_of(values, told=told)}
    # Helm gives it to every chart.
    schema["properties"]["global"] = {"type": "object"}
    made = {
        CHART / "values.schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
        CHART / "README.md": readme(values, told),
    }
    stale = [path for path, content in made.items() if not path.exists() or path.read_text() != content]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path}: stale, run `make chart-docs`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(made[path])
        print(f"{path}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
