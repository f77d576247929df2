"""The definition of the JobQueue resource (CustomResourceDefinition), made from the model."""

from __future__ import annotations

from typing import Any

import yaml

from jobqueue_operator.resource import names
from jobqueue_operator.resource.jobqueue import NAME_RULE
from jobqueue_operator.resource.rule import VALIDATIONS
from jobqueue_operator.resource.schema import Schema, structural
from jobqueue_operator.resource.spec import JobQueueSpec
from jobqueue_operator.resource.status import JobQueueStatus

_HEAD = (
    "# Made by `make crd` from operator/src/jobqueue_operator/resource; change the model, not this file.\n"
)
_LINE = 110


def definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": names.CRD_NAME},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": names.LIST_KIND,
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": [names.CATEGORY],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": _columns(),
                    "subresources": {
                        "status": {},
                        "scale": {
                            # A floor: `kubectl scale --replicas=3` keeps at least three.
                            "specReplicasPath": ".spec.scaling.minReplicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def manifest() -> str:
    """Return the definition as YAML."""
    text = yaml.dump(
        definition(),
        Dumper=_Dumper,
        sort_keys=False,
        width=_LINE,
        allow_unicode=True,
        default_flow_style=False,
    )
    return _HEAD + text


def spec_schema() -> Schema:
    """Return the schema of `spec`."""
    return structural(JobQueueSpec)


def status_schema() -> Schema:
    """Return the schema of `status`."""
    return structural(JobQueueStatus)


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: equal parts are written out."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _root() -> Schema:
    return {
        "description": "A queue of HTTP jobs: its SQS queue, the external service that does the work, and "
        "the workers, whose number follows what is waiting.",
        "type": "object",
        VALIDATIONS: [
            {"rule": f"size(self.metadata.name) <= {names.NAME_MAX}", "message": f"metadata.name {NAME_RULE}"}
        ],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"`{names.API_VERSION}`.", "type": "string"},
            "kind": {"description": f"`{names.KIND}`.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec_schema(),
            "status": status_schema(),
        },
    }


def _columns() -> list[dict[str, Any]]:
    return [
        _column("Ready", _condition("Ready"), "Queue and workers are as the spec says."),
        _column("Suspended", _condition("Suspended"), "Scaling is suspended."),
        _column("Min", ".spec.scaling.minReplicas", "Fewest workers.", "integer"),
        _column("Max", ".spec.scaling.maxReplicas", "Most workers.", "integer"),
        _column("Replicas", ".status.replicas", "Workers that the target asks for.", "integer"),
        _column("Backlog", ".status.backlog.visible", "Messages that are ready to be received.", "integer"),
        _column(
            "Oldest",
            ".status.oldestAgeSeconds",
            "Age of the oldest job that is due and waits, in seconds.",
            "integer",
        ),
        {
            **_column(
                "Drain",
                ".status.drainSeconds",
                "Estimated time until what is waiting is done, in seconds.",
                "integer",
            ),
            "priority": 1,
        },
        {
            **_column("Reason", ".status.lastDecision.reason", "Why the workers are as many as they are."),
            "priority": 1,
        },
        _column("Age", ".metadata.creationTimestamp", "Time since the JobQueue was made.", "date"),
    ]


def _column(name: str, path: str, description: str, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, "description": description}


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'
