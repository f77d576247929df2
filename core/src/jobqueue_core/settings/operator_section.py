"""The section of the operator, which runs in a cluster only."""

from __future__ import annotations

from pydantic import Field

from jobqueue_core.settings.fields import Name, Port, Section


class LeaseSettings(Section):
    """Which of several operators acts."""

    name: Name = Field(
        default="jobqueue-operator", description="Lease that the replicas of one operator share."
    )
    namespace: Name | None = Field(default=None, description="Its namespace; unset: that of the pod.")
    duration_seconds: int = Field(
        default=10,
        ge=3,
        le=120,
        description="How long an operator that is gone is waited for before another takes over.",
    )


class TemplateSettings(Section):
    """What the workers get that the operator makes for a JobQueue with `worker.template`."""

    image: str | None = Field(
        default=None, min_length=1, description="Image of the worker where the JobQueue names none."
    )
    service_account: Name | None = Field(
        default=None, description="ServiceAccount where the JobQueue names none; must be in its namespace."
    )
    config_maps: tuple[Name, ...] = Field(
        default=(),
        description="ConfigMaps of the JobQueue's namespace whose keys become environment variables.",
    )
    secrets: tuple[Name, ...] = Field(
        default=(), description="Secrets of the JobQueue's namespace whose keys become environment variables."
    )


class OperatorSettings(Section):
    """The operator."""

    namespaces: tuple[Name, ...] = Field(
        default=(), description="Namespaces whose JobQueues it looks after; empty: all."
    )
    metrics_port: Port = Field(
        default=9101, description="Port of `/healthz`, `/readyz` and `/metrics`; 0 turns it off."
    )
    lease: LeaseSettings = Field(default=LeaseSettings(), description="Which of several operators acts.")
    template: TemplateSettings = Field(
        default=TemplateSettings(), description="Workers that the operator itself makes."
    )
