"""`spec.worker`: the Deployment that works for the queue, or the template to make one from."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from jobqueue_operator.resource.part import (
    PRESERVE,
    JsonObject,
    ObjectName,
    Part,
    keyed_by,
    one_each,
)
from jobqueue_operator.resource.rule import Rule

EnvVar = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "description": "Name of the variable."},
                "value": {"type": "string", "description": "Its value."},
                "valueFrom": {
                    "type": "object",
                    PRESERVE: True,
                    "description": "Where its value is, as in a pod's container.",
                },
            },
        }
    ),
]
"""An environment variable as in a pod's container."""


class ScaleTargetRef(Part):
    """An existing Deployment in the namespace of the JobQueue."""

    api_version: Literal["apps/v1"] = Field(default="apps/v1", description="API version of the target.")
    kind: Literal["Deployment"] = Field(default="Deployment", description="Kind of the target.")
    name: ObjectName = Field(description="Name of the Deployment.")


class LocalObjectReference(Part):
    """An object in the namespace of the JobQueue."""

    name: ObjectName = Field(description="Name of the object.")


_TEMPLATE_RULES: tuple[Rule[WorkerTemplate], ...] = (
    Rule(
        # The API server tells the names apart by the type of the list.
        cel=None,
        message="must have one entry a name",
        holds=lambda template: one_each(tuple(str(variable.get("name")) for variable in template.env)),
        field=".env",
    ),
)


class WorkerTemplate(Part):
    """What a worker's pod is made of, beside what the operator sets itself."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = _TEMPLATE_RULES

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Image of the worker. Unset: the operator's setting `operator.template.image`.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled. Unset: as Kubernetes does by default."
    )
    image_pull_secrets: tuple[LocalObjectReference, ...] = Field(
        default=(),
        max_length=20,
        json_schema_extra=keyed_by("name"),
        description="Secrets for pulling the image.",
    )
    service_account_name: ObjectName | None = Field(
        default=None,
        description="ServiceAccount of the pods. Unset: the operator's setting "
        "`operator.template.service_account`.",
    )
    resources: JsonObject = Field(
        default={}, description="Requests and limits of the container, as in a pod's container."
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        max_length=100,
        json_schema_extra=keyed_by("name"),
        description="More environment variables of the container. They win over what this JobQueue says.",
    )
    env_from: tuple[JsonObject, ...] = Field(
        default=(),
        max_length=20,
        description="ConfigMaps and Secrets whose keys become environment variables, as in a pod's "
        "container.",
    )
    node_selector: dict[str, str] = Field(
        default={}, description="Labels of the nodes that the pods may run on."
    )
    tolerations: tuple[JsonObject, ...] = Field(
        default=(), max_length=50, description="Tolerations of the pods, as in a pod's spec."
    )
    affinity: JsonObject | None = Field(default=None, description="Affinity of the pods, as in a pod's spec.")
    labels: dict[str, str] = Field(
        default={}, description="More labels of the pods. Those that the operator sets itself win."
    )
    annotations: dict[str, str] = Field(
        default={}, description="More annotations of the pods. Those that the operator sets itself win."
    )
    termination_grace_period_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="Time between SIGTERM and SIGKILL. Unset: enough for a call that has begun to end "
        "(`processor.timeoutSeconds`, at least 20 s, and 15 s). A shorter one cuts long calls off: what has "
        "not ended 10 s before it is handed back.",
    )


_WORKER_RULES: tuple[Rule[WorkerSpec], ...] = (
    Rule(
        cel="has(self.scaleTargetRef) != has(self.template)",
        message="must have exactly one of scaleTargetRef and template",
        holds=lambda worker: (worker.scale_target_ref is None) != (worker.template is None),
    ),
)


class WorkerSpec(Part):
    """Who works for the queue: exactly one of `scaleTargetRef` and `template`."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = _WORKER_RULES

    scale_target_ref: ScaleTargetRef | None = Field(
        default=None, description="An existing Deployment that the operator scales."
    )
    template: WorkerTemplate | None = Field(
        default=None,
        description="The operator makes a Deployment for this queue from it; `processor` is required.",
    )
    concurrency: int = Field(default=10, ge=1, le=1000, description="Jobs that one worker runs at a time.")
