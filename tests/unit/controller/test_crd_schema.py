from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from jobqueue_core.settings.queue_sections import (
    BackoffSettings,
    DeadLetterSettings,
    ProcessorSettings,
    QueueWorkerSettings,
    RetrySettings,
    SqsSettings,
)
from jobqueue_core.settings.schedules import RecurringSettings
from jobqueue_core.settings.service_sections import (
    OnUnknownSettings,
    ScaleDownSettings,
    ScaleUpSettings,
    ScalingSettings,
)
from jobqueue_operator.resource.__main__ import DEFINITION, REFERENCE, main
from jobqueue_operator.resource.crd import definition, manifest, spec_schema, status_schema
from jobqueue_operator.resource.part import Part
from jobqueue_operator.resource.reference import EXAMPLE, reference
from jobqueue_operator.resource.rule import VALIDATIONS
from jobqueue_operator.resource.schema import structural
from jobqueue_operator.resource.spec import JobQueueSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
VERSION = definition()["spec"]["versions"][0]
SMALLEST = {"queue": {"name": "emails"}, "worker": {"scaleTargetRef": {"name": "worker"}}}


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below another, with its path."""
    below = dict(schema.get("properties", {}))
    for name in ("items", "additionalProperties"):
        if name in schema:
            below[f"<{name}>"] = schema[name]
    for name, child in below.items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")


def all_fields() -> dict[str, dict[str, Any]]:
    return dict([*fields(spec_schema(), "spec"), *fields(status_schema(), "status")])


def parts_below(model: type[Part]) -> Iterator[type[Part]]:
    """A part and every part below it."""
    yield model
    for field in model.model_fields.values():
        yield from parts_in(field.annotation)


def parts_in(annotation: object) -> Iterator[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield from parts_below(annotation)
    for argument in get_args(annotation):
        yield from parts_in(argument)


PARTS = tuple(dict.fromkeys(parts_below(JobQueueSpec)))


def defaulted(value: object, schema: dict[str, Any]) -> object:
    """Fill in defaults as the API server does."""
    if isinstance(value, dict):
        known = schema.get("properties", {})
        filled = {
            name: copy.deepcopy(child["default"]) for name, child in known.items() if "default" in child
        }
        return {name: defaulted(each, known.get(name, {})) for name, each in {**filled, **value}.items()}
    if isinstance(value, list):
        return [defaulted(each, schema["items"]) for each in value]
    return value


def test_the_files_are_up_to_date() -> None:
    assert main(["--check", "--root", str(ROOT)]) == 0


def test_stale_files_are_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--root", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert f"{DEFINITION} is out of date: make crd\n" in told
    assert f"{REFERENCE} is out of date: make crd\n" in told

    assert main(["--write", "--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
    assert (tmp_path / DEFINITION).read_text() == manifest()

    (tmp_path / REFERENCE).write_text("old")
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{REFERENCE} is out of date: make crd\n"


def test_the_manifest_is_the_definition() -> None:
    assert yaml.safe_load(manifest()) == definition()


def test_every_field_is_described() -> None:
    named = {path: schema for path, schema in all_fields().items() if not path.endswith(">")}

    assert len(named) > 80
    assert [path for path, schema in named.items() if not schema.get("description")] == []
    assert [column for column in VERSION["additionalPrinterColumns"] if not column["description"]] == []


def test_every_schema_is_structural() -> None:
    for path, schema in all_fields().items():
        typed = "type" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
        assert typed, path
        unknown = {"$ref", "$defs", "title", "anyOf", "oneOf", "allOf", "const", "nullable"} & schema.keys()
        assert not unknown, path
        assert isinstance(schema.get("exclusiveMinimum", True), bool), path
        assert ("items" in schema) == (schema.get("type") == "array"), path
        assert "maxItems" in schema or schema.get("type") != "array", path
        assert ("format" in schema) == (
            schema.get("type") in {"integer", "number"} or schema.get("format") == "date-time"
        ), path


def test_a_union_that_no_structural_schema_can_say_is_an_error() -> None:
    class Torn(BaseModel):
        field: int | str = 1

    with pytest.raises(ValueError, match="a union has no place in a structural schema"):
        structural(Torn)


@pytest.mark.parametrize("part", PARTS)
def test_the_rules_of_cel_are_those_of_the_model(part: type[Part]) -> None:
    said = [(rule["rule"], rule["message"]) for rule in structural(part).get(VALIDATIONS, ())]

    assert said == [(rule.cel, rule.message) for rule in part.RULES if rule.cel is not None]


def test_only_changes_are_unknown_to_the_model_and_only_three_rules_to_cel() -> None:
    rules = [rule for part in PARTS for rule in part.RULES]

    assert len(rules) > 15
    assert all(("oldSelf" in (rule.cel or "")) == (rule.holds is None) for rule in rules)
    assert [rule.field for rule in rules if rule.holds is None] == [".name", ".url", ".fifo", ".jobs"]
    assert [rule.field for rule in rules if rule.cel is None] == [
        ".schedules",
        ".env",
        ".onUnknown.replicas",
    ]


def test_the_fields_at_fault_exist() -> None:
    for part in PARTS:
        for rule in part.RULES:
            schema = structural(part)
            for name in rule.field.split(".")[1:]:
                assert name in schema["properties"], (part, rule.field)
                schema = schema["properties"][name]


@pytest.mark.parametrize(
    "path",
    [
        "spec.queue.name",
        "spec.queue.url",
        "spec.queue.deadLetter.name",
        "spec.queue.jobs",
        "spec.processor.headersFrom.<items>.name",
        "spec.scaling.schedules.<items>.cron",
        "spec.scaling.schedules.<items>.timeZone",
        "spec.schedules.<items>.name",
        "spec.schedules.<items>.cron",
        "spec.schedules.<items>.timeZone",
        "spec.schedules.<items>.orderingKey",
    ],
)
def test_texts_with_rules_have_a_bound_for_their_cost(path: str) -> None:
    schema = all_fields()[path]

    assert schema[VALIDATIONS][0]["rule"].startswith("self.matches(")
    assert schema["maxLength"] <= 2048


@pytest.mark.parametrize(
    ("path", "section", "setting", "same_default"),
    [
        ("queue.visibilityTimeoutSeconds", SqsSettings, "visibility_timeout_seconds", True),
        ("queue.deadLetter.maxReceiveCount", DeadLetterSettings, "max_receive_count", True),
        ("processor.timeoutSeconds", ProcessorSettings, "timeout_seconds", True),
        ("retry.maxAttempts", RetrySettings, "max_attempts", True),
        ("retry.backoff.initialSeconds", BackoffSettings, "initial_seconds", True),
        ("retry.backoff.maxSeconds", BackoffSettings, "max_seconds", True),
        ("retry.backoff.factor", BackoffSettings, "factor", True),
        ("worker.concurrency", QueueWorkerSettings, "concurrency", True),
        ("scaling.minReplicas", ScalingSettings, "min_replicas", True),
        # One machine has fewer workers than a cluster.
        ("scaling.maxReplicas", ScalingSettings, "max_replicas", False),
        ("scaling.scaleUp.maxFactor", ScaleUpSettings, "max_factor", True),
        ("scaling.scaleDown.stabilizationSeconds", ScaleDownSettings, "stabilization_seconds", True),
        ("scaling.scaleDown.protectBusy", ScaleDownSettings, "protect_busy", True),
        ("scaling.zeroAfterSeconds", ScalingSettings, "zero_after_seconds", True),
        ("scaling.onUnknown.replicas", OnUnknownSettings, "replicas", False),
        ("schedules.<items>.timeZone", RecurringSettings, "time_zone", True),
        ("schedules.<items>.missed", RecurringSettings, "missed", True),
        ("schedules.<items>.maxAttempts", RecurringSettings, "max_attempts", False),
        ("schedules.<items>.timeoutSeconds", RecurringSettings, "timeout_seconds", False),
        ("schedules.<items>.suspended", RecurringSettings, "suspended", True),
    ],
)
def test_ranges_and_defaults_are_those_of_the_settings(
    path: str, section: type[BaseModel], setting: str, *, same_default: bool
) -> None:
    ours = all_fields()[f"spec.{path}"]
    theirs = section.model_json_schema()["properties"][setting]
    theirs = next((choice for choice in theirs.get("anyOf", ()) if choice["type"] != "null"), theirs)

    least = (theirs.get("exclusiveMinimum", theirs.get("minimum")), "exclusiveMinimum" in theirs)
    assert (ours.get("minimum"), bool(ours.get("exclusiveMinimum"))) == least
    assert ours["type"] == theirs["type"]
    if "maximum" in theirs:
        assert ours["maximum"] == theirs["maximum"]
    if same_default:
        assert ours["default"] == theirs["default"]


def test_what_the_api_server_fills_in_is_what_the_model_takes() -> None:
    filled = defaulted(copy.deepcopy(SMALLEST), spec_schema())
    model = JobQueueSpec.model_validate(SMALLEST).model_dump(mode="json", by_alias=True, exclude_none=True)
    for part in (model, model["scaling"]):
        part.pop("schedules")  # an empty list is not written

    assert filled == model


def test_no_default_stands_beside_an_exclusive_choice() -> None:
    # One that was filled in would be refused together with the other that is applied later.
    schemas = all_fields()

    for path in ("queue.name", "queue.url", "worker.scaleTargetRef", "worker.template", "scaling.target"):
        assert "default" not in schemas[f"spec.{path}"]


@pytest.mark.parametrize("value", ["Hold", {"replicas": 0}, {"replicas": 7}])
def test_what_may_be_done_while_the_backlog_is_unknown(value: object) -> None:
    jsonschema.Draft4Validator(all_fields()["spec.scaling.onUnknown"]).validate(value)


@pytest.mark.parametrize(
    "value",
    [
        *("hold", "", "Hold on"),
        *({}, {"replicas": -1}, {"replicas": "2"}, {"replica": 2}, {"replicas": 2, "x": 1}),
        *(0, 1, 0.5, True, False, [], ["Hold"]),
    ],
)
def test_what_may_not_be_done_while_the_backlog_is_unknown(value: object) -> None:
    assert not jsonschema.Draft4Validator(all_fields()["spec.scaling.onUnknown"]).is_valid(value)


def test_the_example_fits_the_schema() -> None:
    example = yaml.safe_load(EXAMPLE)

    jsonschema.Draft4Validator(VERSION["schema"]["openAPIV3Schema"]).validate(example)
    assert f"```yaml\n{EXAMPLE}```" in reference()


def test_the_columns() -> None:
    columns = VERSION["additionalPrinterColumns"]

    plain = [column["name"] for column in columns if "priority" not in column]
    assert plain == ["Ready", "Suspended", "Min", "Max", "Replicas", "Backlog", "Oldest", "Age"]
    assert [column["name"] for column in columns if "priority" in column] == ["Drain", "Reason"]


def test_columns_and_subresources_point_at_fields() -> None:
    known = {f".{path}" for path in all_fields()}
    scale = VERSION["subresources"]["scale"]
    paths = [column["jsonPath"] for column in VERSION["additionalPrinterColumns"]]

    assert set(scale.values()) <= known
    assert {path for path in paths if path.startswith((".spec", ".status")) and "[" not in path} <= known


def test_every_field_has_its_row_in_the_reference() -> None:
    rows = reference()
    for path in all_fields():
        if not path.endswith(">"):
            assert f"| `{path.replace('.<items>', '[]')}` | " in rows
