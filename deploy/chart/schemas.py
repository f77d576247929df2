"""Writes strict JSON schemas of Kubernetes' own kinds, for kubeconform: `schemas.py SWAGGER_JSON FOLDER`.

The source is `api/openapi-spec/swagger.json` of Kubernetes' Go module: nothing is fetched from elsewhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_ARGUMENTS = 3
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


def strict(node: Any) -> Any:  # noqa: ANN401 -- JSON
    """Return a definition in which unknown fields are refused, as kubectl refuses them."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    known = {key: strict(value) for key, value in node.items()}
    if "properties" in node and "additionalProperties" not in node:
        known["additionalProperties"] = False
    return known


def main() -> int:
    """Write one file a kind, `<kind>-<group>-<version>.json`, and one with all definitions."""
    if len(sys.argv) != _ARGUMENTS:
        print(__doc__, file=sys.stderr)
        return 2
    definitions = strict(json.loads(Path(sys.argv[1]).read_text())["definitions"])
    definitions[_INT_OR_STRING] = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "definitions.json").write_text(
        json.dumps({"definitions": definitions}).replace('"#/definitions/', '"definitions.json#/definitions/')
    )
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            group = kind["group"].split(".")[0]
            parts = [kind["kind"], *([group] if group else []), kind["version"]]
            reference = {"$ref": f"definitions.json#/definitions/{name}"}
            (folder / f"{'-'.join(parts).lower()}.json").write_text(json.dumps(reference))
    return 0


if __name__ == "__main__":
    sys.exit(main())
