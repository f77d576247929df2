"""A JobQueue as the operator works with it, read from an object of the API server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from jobqueue_core.domain.cron import time_zone
from jobqueue_core.settings.schedules import RecurringSettings
from jobqueue_operator import scaling as policy
from jobqueue_operator.resource.names import NAME_MAX
from jobqueue_operator.resource.rule import problems_of
from jobqueue_operator.resource.spec import JobQueueSpec
from jobqueue_operator.resource.spec_scaling import DEFAULT_BACKLOG_PER_REPLICA
from jobqueue_operator.scaling import InvalidScalingSpecError, Schedule, Suspend

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import tzinfo

    from jobqueue_operator.resource.spec_scaling import ScalingTarget

NAME_RULE = f"must be at most {NAME_MAX} characters: it is the value of a label"


class InvalidJobQueueError(ValueError):
    """The JobQueue breaks rules; every problem is `path: rule`, as `spec.scaling.minReplicas: must be …`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueue:
    """One JobQueue.

    Attributes:
        generation: Number of the spec's version.
        version: `resourceVersion`, of the whole object.
        deleting: It is being deleted, and stays until its finalizers are gone.
        spec: Checked; `scaling_spec` and `schedules` accept it.
        status: As it was read, unchecked.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    version: str
    created_at: datetime
    deleting: bool
    annotations: Mapping[str, str]
    finalizers: tuple[str, ...]
    spec: JobQueueSpec
    status: Mapping[str, Any]


def parse(body: Mapping[str, Any]) -> JobQueue:
    """Read a JobQueue as the API server gives it.

    All rules are checked, those of the schema too: an older definition may have let the object in.

    Raises:
        InvalidJobQueueError: Naming every rule that is broken.
    """
    metadata = body["metadata"]
    if len(metadata["name"]) > NAME_MAX:
        raise InvalidJobQueueError((f"metadata.name: {NAME_RULE}",))
    try:
        spec = JobQueueSpec.model_validate(body.get("spec") or {}, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidJobQueueError(tuple(_problems(error))) from error
    scaling_spec(spec)
    schedules(spec)
    _check_recurring(spec)
    return JobQueue(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        version=metadata.get("resourceVersion", ""),
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting=bool(metadata.get("deletionTimestamp")),
        annotations=dict(metadata.get("annotations") or {}),
        finalizers=tuple(metadata.get("finalizers") or ()),
        spec=spec,
        status=dict(body.get("status") or {}),
    )


def scaling_spec(spec: JobQueueSpec) -> policy.ScalingSpec:
    """Return what the scaling policy takes from a spec.

    Raises:
        InvalidJobQueueError: A rule of the policy is broken; `parse` has checked that already.
    """
    section = spec.scaling
    floor = section.fallback_replicas
    try:
        return policy.ScalingSpec(
            target=_target(section.target),
            max_replicas=section.max_replicas,
            min_replicas=section.min_replicas,
            concurrency=spec.worker.concurrency,
            scale_up=policy.ScaleUp(section.scale_up.max_factor),
            scale_down=policy.ScaleDown(
                section.scale_down.stabilization_seconds, section.scale_down.protect_busy
            ),
            zero_after_seconds=section.zero_after_seconds,
            on_unknown=policy.Hold() if floor is None else policy.Fallback(floor),
            suspend=Suspend(spec.suspend),
        )
    except InvalidScalingSpecError as error:
        raise InvalidJobQueueError(tuple(f"spec.scaling.{each}" for each in error.problems)) from error


def schedules(spec: JobQueueSpec) -> tuple[Schedule, ...]:
    """Return the schedules of a spec, with their time zones.

    Raises:
        InvalidJobQueueError: A time zone is unknown or an expression never fires; `parse` has checked that
            already.
    """
    found: list[Schedule] = []
    problems: list[str] = []
    for position, each in enumerate(spec.scaling.schedules):
        try:
            found.append(_schedule(each.cron, each.time_zone, each.duration_seconds, each.min_replicas))
        except InvalidScalingSpecError as error:
            problems += [f"spec.scaling.schedules[{position}].{problem}" for problem in error.problems]
    if problems:
        raise InvalidJobQueueError(tuple(problems))
    return tuple(found)


def _check_recurring(spec: JobQueueSpec) -> None:
    """Hold the recurring jobs against the rules of the settings, by which the API reads them.

    Raises:
        InvalidJobQueueError: A time zone is unknown, an expression never fires, or a payload is too large.
    """
    problems: list[str] = []
    for position, each in enumerate(spec.schedules):
        try:
            RecurringSettings.model_validate(each.model_dump(exclude={"name"}))
        except ValidationError as error:
            problems += [
                f"{_path(('spec', 'schedules', position, to_camel(str(detail['loc'][0]))))}: {detail['msg']}"
                for detail in error.errors(include_url=False, include_input=False)
            ]
    if problems:
        raise InvalidJobQueueError(tuple(problems))


def _target(target: ScalingTarget | None) -> policy.BacklogPerReplica | policy.DrainSeconds:
    if target is not None and target.drain_seconds is not None:
        return policy.DrainSeconds(target.drain_seconds)
    jobs = None if target is None else target.backlog_per_replica
    return policy.BacklogPerReplica(DEFAULT_BACKLOG_PER_REPLICA if jobs is None else jobs)


# Many queues share few schedules, and they are asked for with every reading.
@lru_cache(maxsize=4096)
def _schedule(cron: str, time_zone: str, duration_seconds: int, min_replicas: int) -> Schedule:
    return Schedule(
        cron=cron, zone=_zone(time_zone), duration_seconds=duration_seconds, min_replicas=min_replicas
    )


def _zone(name: str) -> tzinfo:
    try:
        return time_zone(name)
    except ValueError as error:
        raise InvalidScalingSpecError((f"timeZone: {error}",)) from error


def _problems(error: ValidationError) -> Iterable[str]:
    for detail in error.errors(include_url=False, include_input=False):
        path = _path(("spec", *detail["loc"]))
        rules = problems_of(detail.get("ctx"))
        if rules:
            yield from (f"{path}{field}: {message}" for field, message in rules)
        else:
            yield f"{path}: {_words(detail['type'], detail['msg'])}"


def _path(location: tuple[str | int, ...]) -> str:
    text = ""
    for part in location:
        if str(part).startswith("("):  # which form of a union was tried, no field
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "missing":
        return "must be given"
    return message[:1].lower() + message[1:]
