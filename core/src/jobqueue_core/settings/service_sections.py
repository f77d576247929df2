"""Sections that belong to a process or to the whole system, not to one queue."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobqueue_core.settings.fields import (
    FORM,
    SECRET,
    DatabaseName,
    MongodbUri,
    Name,
    Port,
    QueueName,
    Section,
    Sha256Hex,
    broken,
)
from jobqueue_core.settings.queue_sections import QueueWorkerSettings


class MongodbSettings(Section):
    """The database, which holds the truth about every job."""

    uri: MongodbUri = Field(description="Connection string (`mongodb://` or `mongodb+srv://`). Never shown.")
    database: DatabaseName = Field(
        default="jobqueue", description="Name of the database: 1 to 63 letters, digits, - and _."
    )
    driver: Literal["pymongo", "motor"] = Field(
        default="pymongo", description="Client library; `motor` is past its end of life and slower."
    )
    timeout_seconds: float = Field(
        default=5.0,
        gt=0,
        le=300,
        description="Longest wait for a server that can be used (server selection).",
    )
    guard_index: bool = Field(
        default=False,
        description="Also create an index over `_id`, status and lease. Not for MongoDB, which finds by "
        "`_id`: for an embedded server whose planner scans without it.",
    )
    max_pool_size: int = Field(
        default=100, ge=1, le=10_000, description="Connections of one process at most."
    )


class WorkerSettings(QueueWorkerSettings):
    """One worker process."""

    id: Name | None = Field(
        default=None, description="Name of this worker; unset: host name and process id. Unique."
    )
    queue: QueueName | None = Field(
        default=None, description="Queue that this worker works for; unset: the default queue."
    )
    drain_seconds: float | None = Field(
        default=None,
        ge=0,
        le=43_200,
        description="How long running jobs may go on after SIGTERM; shorter than the pod's grace period. "
        "Unset: as long as a call (`processor.timeout_seconds`) or a receive (`sqs.receive_wait_seconds`) "
        "may take, and 5 s.",
    )
    heartbeat_seconds: float = Field(
        default=5.0, gt=0, le=300, description="How often a worker writes its state to the database."
    )
    metrics_port: Port = Field(default=9100, description="Port of `/metrics`; 0 turns it off.")


class ApiKeySettings(Section):
    """One client that may call the API."""

    name: Name = Field(description="Whose key it is; shown in logs.")
    sha256: Sha256Hex = Field(
        repr=False,
        json_schema_extra={SECRET: True},
        description="SHA-256 of the key, in 64 hexadecimal digits.",
    )


class ApiAuthSettings(Section):
    """Who may call the API."""

    enabled: bool = Field(default=False, description="Demand an API key of every call.")
    keys: tuple[ApiKeySettings, ...] = Field(
        default=(), description="Keys that are accepted (`name`, `sha256`); may come from a secret as JSON."
    )


class ApiLimitsSettings(Section):
    """What one request to the API may ask for."""

    max_body_bytes: int = Field(
        default=262_144, ge=1024, le=10_485_760, description="Largest request body; more is a 413."
    )
    max_batch: int = Field(default=1000, ge=1, le=1000, description="Most jobs in one `POST /jobs/batch`.")
    max_delay_seconds: float = Field(
        default=31_622_400.0,
        ge=0,
        le=315_360_000,
        description="Furthest that a job may be scheduled ahead; a year, whichever day it begins.",
    )


class ApiKubernetesSettings(Section):
    """What the API does where it runs in a cluster."""

    enabled: bool = Field(
        default=False,
        description="Know the queues of the JobQueues in the cluster, and wake the operator when a job comes "
        "for a queue without workers.",
    )
    namespaces: tuple[Name, ...] = Field(
        default=(), description="Namespaces whose JobQueues it knows; empty: that of the pod."
    )


class ApiSettings(Section):
    """The REST API."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address it listens on.")
    port: Port = Field(default=8000, description="Port it listens on; 0 takes a free one.")
    idempotency_seconds: float = Field(
        default=86_400.0,
        ge=60,
        le=604_800,
        description="How long an idempotency key stands for the job it came with; a finished job is kept as "
        "long. Afterwards the key may come with another job.",
    )
    auth: ApiAuthSettings = Field(default=ApiAuthSettings(), description="Who may call the API.")
    limits: ApiLimitsSettings = Field(
        default=ApiLimitsSettings(), description="What one request may ask for."
    )
    kubernetes: ApiKubernetesSettings = Field(
        default=ApiKubernetesSettings(), description="What the API does in a cluster."
    )


class RelaySettings(Section):
    """The relay sends what a crash or an outage of SQS left unsent."""

    enabled: bool = Field(default=True, description="Run the relay in this process.")
    poll_seconds: float = Field(default=1.0, gt=0, le=300, description="How often it looks for jobs to send.")
    grace_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="A job still unsent this long after it was stored is sent by the relay.",
    )
    lost_after_seconds: float = Field(
        default=60.0,
        gt=0,
        le=43_200,
        description="Age of a message that a queue which says it is empty must have lost: sent again.",
    )
    resend_after_seconds: float = Field(
        default=21_600.0,
        gt=0,
        le=1_209_600,
        description="Age at which a waiting message is sent again whatever the queue says.",
    )


class ScalingTargetSettings(Section):
    """What to scale by: exactly one of the two."""

    backlog_per_replica: int | None = Field(
        default=None, ge=1, description="Jobs waiting for each worker (100 when `target` is not set)."
    )
    drain_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Time in which what is waiting shall be done, from measured service times.",
    )


class ScaleUpSettings(Section):
    """How fast to grow."""

    max_factor: float = Field(
        default=10.0,
        gt=1,
        le=1000,
        description="Grow at most to this many times the present workers at once.",
    )


class ScaleDownSettings(Section):
    """How fast to shrink."""

    stabilization_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="Shrink only to the most that was wanted in this time."
    )
    protect_busy: bool = Field(default=True, description="Never shrink below the number of busy workers.")


class OnUnknownSettings(Section):
    """What to do while the backlog cannot be read; written `Hold` or `replicas: n`."""

    replicas: int | None = Field(
        default=None, ge=0, description="Workers to run meanwhile; unset (`Hold`): keep."
    )

    @model_validator(mode="before")
    @classmethod
    def _hold(cls, value: object) -> object:
        if value == "Hold":
            return {}
        if isinstance(value, (dict, cls)):
            return value
        raise broken("must be Hold, or a mapping with replicas")


class ScalingSettings(Section):
    """How many workers run; the names are those of the JobQueue's spec."""

    min_replicas: int = Field(default=0, ge=0, le=10_000, description="Fewest workers.")
    max_replicas: int = Field(default=4, ge=1, le=10_000, description="Most workers.")
    target: ScalingTargetSettings = Field(
        default=ScalingTargetSettings(backlog_per_replica=100), description="What to scale by."
    )
    poll_seconds: float = Field(default=5.0, gt=0, le=3600, description="How often the backlog is read.")
    scale_up: ScaleUpSettings = Field(default=ScaleUpSettings(), description="How fast to grow.")
    scale_down: ScaleDownSettings = Field(default=ScaleDownSettings(), description="How fast to shrink.")
    zero_after_seconds: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="Idle time, seen by SQS and database alike, before zero workers.",
    )
    on_unknown: OnUnknownSettings = Field(
        default=OnUnknownSettings(),
        json_schema_extra={FORM: "`Hold` or `replicas: n`"},
        description="While the backlog cannot be read: `Hold` keeps the workers, `replicas: n` runs at "
        "least n.",
    )


class LoggingSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )
    format: Literal["json", "console"] = Field(
        default="json", description="One JSON object a line, or text for people."
    )


class SecretRefSettings(Section):
    """Where in AWS Secrets Manager the value of a setting is."""

    secret_id: str = Field(min_length=1, max_length=2048, description="Name or ARN of the secret.")
    key: str | None = Field(
        default=None, min_length=1, description="Key in the secret's JSON object; unset: the whole text."
    )
