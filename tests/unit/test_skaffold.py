from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(__file__).parent / "schemas"
COMPONENTS = ("api", "worker", "operator")


def skaffold() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    return config


def schema() -> dict[str, Any]:
    version = skaffold()["apiVersion"].replace("/", "-")
    found: dict[str, Any] = json.loads((SCHEMAS / f"{version}.json").read_text())
    return found


def release() -> dict[str, Any]:
    (only,) = skaffold()["deploy"]["helm"]["releases"]
    found: dict[str, Any] = only
    return found


def chart_values() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((ROOT / release()["chartPath"] / "values.yaml").read_text())
    return values


def with_profile(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The configuration as Skaffold patches it (RFC 6902; only what the profiles use)."""
    result = deepcopy(config)
    (profile,) = [profile for profile in config["profiles"] if profile["name"] == name]
    for patch in profile["patches"]:
        *way, last = [int(part) if part.isdigit() else part for part in patch["path"].split("/")[1:]]
        place: Any = result
        for part in way:
            place = place[part]
        assert last in place, f"{patch['path']} is not there"
        if patch["op"] == "remove":
            del place[last]
        else:
            assert patch["op"] == "replace"
            place[last] = patch["value"]
    return result


def test_it_is_valid_by_the_schema_of_its_version() -> None:
    assert [error.message for error in Draft7Validator(schema()).iter_errors(skaffold())] == []


def test_the_schema_finds_a_misspelt_key() -> None:
    config = skaffold()
    config["build"]["artefacts"] = config["build"].pop("artifacts")
    assert not Draft7Validator(schema()).is_valid(config)


def test_it_is_valid_with_the_profile_for_backends_of_ones_own() -> None:
    config = with_profile(skaffold(), "external")
    assert Draft7Validator(schema()).is_valid(config)
    assert "manifests" not in config


def test_it_builds_every_component_from_its_dockerfile() -> None:
    built = {item["image"]: item["docker"]["dockerfile"] for item in skaffold()["build"]["artifacts"]}
    assert set(built) == {f"jobqueue-{component}" for component in COMPONENTS}
    for component in COMPONENTS:
        text = (ROOT / built[f"jobqueue-{component}"]).read_text()
        assert f'ENTRYPOINT ["tini", "--", "jobqueue-{component}"]' in text


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_chart_takes_the_images_that_were_built(component: str) -> None:
    given = release()["setValueTemplates"]
    image = chart_values()[component]["image"]
    assert {"repository", "tag"} <= image.keys()
    assert given[f"{component}.image.repository"] == f"{{{{.IMAGE_REPO_jobqueue_{component}}}}}"
    assert given[f"{component}.image.tag"] == f"{{{{.IMAGE_TAG_jobqueue_{component}}}}}"


@pytest.mark.parametrize("profile", [None, "external"])
def test_the_values_are_the_charts_own(profile: str | None) -> None:
    config = skaffold() if profile is None else with_profile(skaffold(), profile)
    values_schema = json.loads((ROOT / release()["chartPath"] / "values.schema.json").read_text())
    (only,) = config["deploy"]["helm"]["releases"]
    for file in only["valuesFiles"]:
        values = yaml.safe_load((ROOT / file).read_text())
        merged = merge(chart_values(), values)
        assert [error.message for error in Draft7Validator(values_schema).iter_errors(merged)] == []


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges values: mappings merge, all else replaces."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def test_every_file_that_it_names_is_there() -> None:
    text = (ROOT / "skaffold.yaml").read_text()
    named = set(re.findall(r"[\w/.-]+\.yaml\b", text)) - {"skaffold.yaml"}
    assert {name for name in named if not (ROOT / name).is_file()} == set()
    assert (ROOT / release()["chartPath"]).is_dir()
