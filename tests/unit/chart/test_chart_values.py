"""The schema of the chart's values: what is refused before anything is installed. Needs no Helm."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from jobqueue_core.settings.schema import all_settings, dotted

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "jobqueue"
CASES = sorted(path.stem for path in (CHART / "ci").glob("*-values.yaml"))
# What may not stand in `config`: secrets would lie open in a ConfigMap, the rest is set by the chart.
SECRETS = {"mongodb.uri", "processor.headers", "api.auth.keys"}
SET_BY_THE_CHART = (
    "api.host",
    "api.port",
    "api.kubernetes.",
    "worker.id",
    "worker.drain_seconds",
    "worker.metrics_port",
    "operator.namespaces",
    "operator.metrics_port",
    "operator.lease.name",
    "operator.template.",
    "scaling.",
)


@cache
def validator() -> Draft7Validator:
    schema = json.loads((CHART / "values.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def defaults() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def with_value(path: str, value: object) -> dict[str, Any]:
    """The defaults with one value set; the path has dots."""
    values = deepcopy(defaults())
    *sections, last = path.split(".")
    place = values
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return values


def problems(values: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator().iter_errors(values)]


def test_schema_and_readme_are_those_of_the_values() -> None:
    checked = subprocess.run(  # noqa: S603 -- the command is ours
        [sys.executable, ROOT / "deploy" / "chart" / "generate.py", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_defaults_are_valid() -> None:
    assert problems(defaults()) == []


@pytest.mark.parametrize("case", CASES)
def test_the_install_cases_are_valid(case: str) -> None:
    assert problems(yaml.safe_load((CHART / "ci" / f"{case}.yaml").read_text())) == []


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("apii", {}, "'apii' was unexpected"),
        ("api.replcas", 3, "'replcas' was unexpected"),
        ("worker.resources.limit", {}, "'limit' was unexpected"),
        ("operator.tolerations", [{"kye": "spot"}], "'kye' was unexpected"),
        ("worker.extraEnv", [{"name": "A", "vlaue": "b"}], "'vlaue' was unexpected"),
        ("ingress.hosts", [{"host": "a.example", "path": "/"}], "'path' was unexpected"),
        ("networkPolicy.apiFrom", [{"podselector": {}}], "'podselector' was unexpected"),
        ("config.retyr", {}, "'retyr' was unexpected"),
        ("config.retry.max_atempts", 3, "'max_atempts' was unexpected"),
        ("config.queues.emails.retry.max_atempts", 3, "'max_atempts' was unexpected"),
    ],
)
def test_a_misspelt_key_is_refused_and_named(path: str, value: object, named: str) -> None:
    [problem] = problems(with_value(path, value))
    assert named in problem


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("api.replicas", "many"),
        ("api.replicas", -1),
        ("api.service.type", "Clusterip"),
        ("api.service.port", 0),
        ("image.pullPolicy", "always"),
        ("operator.pdb.maxUnavailable", "half"),
        ("monitoring.interval", "30"),
        ("secretEnv", [{"name": "A", "secret": "b"}]),
        ("config.retry.max_attempts", 0),
        ("config.logging.level", "loud"),
    ],
)
def test_a_value_out_of_its_range_is_refused_with_its_path(path: str, value: object) -> None:
    [problem] = problems(with_value(path, value))
    assert problem.startswith(f"$.{path}")


@pytest.mark.parametrize("path", ["worker.replicas", "worker.terminationGracePeriodSeconds"])
def test_what_the_chart_works_out_itself_may_be_null(path: str) -> None:
    assert problems(with_value(path, None)) == []
    assert problems(with_value(path, 40)) == []


def test_config_has_every_setting_but_secrets_and_what_the_chart_sets() -> None:
    refused: set[str] = set()
    known: set[str] = set()
    for setting in all_settings():
        path = dotted(setting.path)
        concrete = path.replace('"', "").replace("<name>", "emails")
        # Whatever the value: only that the key is known is looked at.
        unexpected = [p for p in problems(with_value(f"config.{concrete}", None)) if "unexpected" in p]
        (refused if unexpected else known).add(path)
    assert {path for path in refused if not path.startswith(SET_BY_THE_CHART)} == {
        *SECRETS,
        "queues.<name>.processor.headers",
    }
    assert {path for path in known if path.startswith(SET_BY_THE_CHART)} == set()
    assert {"retry.max_attempts", "queues.<name>.retry.max_attempts"} <= known
