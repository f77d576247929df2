"""What the chart renders, for every case of charts/jobqueue/ci. It lies here because it needs helm."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "jobqueue"
CASES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
Manifest = dict[str, Any]


@cache
def helm() -> str:
    built = subprocess.run(  # noqa: S603 -- our own script
        [ROOT / "tests" / "cluster" / "tools" / "build", "helm"], check=True, capture_output=True, text=True
    )
    return f"{built.stdout.strip()}/helm"


def render(*arguments: str, release: str = "jobqueue") -> subprocess.CompletedProcess[str]:
    command = [helm(), "template", release, str(CHART), "--namespace", "apps", "--kube-version", "1.36.0"]
    return subprocess.run(  # noqa: S603 -- helm, built here
        [*command, *arguments], check=False, capture_output=True, text=True
    )


def objects(*arguments: str, release: str = "jobqueue") -> list[Manifest]:
    done = render(*arguments, release=release)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


@cache
def case(name: str) -> list[Manifest]:
    return objects("--values", str(CHART / "ci" / f"{name}-values.yaml"))


def of_kind(found: list[Manifest], *kinds: str) -> list[Manifest]:
    return [item for item in found if item["kind"] in kinds]


def pod_specs(found: list[Manifest]) -> list[Manifest]:
    pods = [item["spec"]["template"]["spec"] for item in of_kind(found, "Deployment")]
    return pods + [item["spec"] for item in of_kind(found, "Pod")]


@pytest.mark.parametrize("name", CASES)
def test_no_right_is_a_wildcard(name: str) -> None:
    roles = of_kind(case(name), "Role", "ClusterRole")
    assert roles
    for role in roles:
        for rule in role["rules"]:
            assert not any("*" in value for values in rule.values() for value in values), rule
            assert "secrets" not in rule["resources"]


@pytest.mark.parametrize("name", CASES)
def test_every_pod_is_restricted(name: str) -> None:
    specs = pod_specs(case(name))
    assert specs
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= set(container["resources"])


@pytest.mark.parametrize("name", CASES)
def test_no_secret_is_made_and_secrets_are_referred_to(name: str) -> None:
    assert of_kind(case(name), "Secret") == []
    for spec in pod_specs(case(name)):
        for container in spec["containers"]:
            for variable in container.get("env", ()):
                if any(word in variable["name"] for word in ("URI", "ACCESS_KEY", "__KEYS", "PASSWORD")):
                    assert "secretKeyRef" in variable["valueFrom"], variable


@pytest.mark.parametrize("name", CASES)
def test_selectors_find_their_pods(name: str) -> None:
    found = case(name)
    for item in of_kind(found, "Deployment"):
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert item["spec"]["selector"]["matchLabels"].items() <= labels.items()
    pods = [item["spec"]["template"]["metadata"]["labels"] for item in of_kind(found, "Deployment")]
    for item in of_kind(found, "Service"):
        assert [labels for labels in pods if item["spec"]["selector"].items() <= labels.items()]


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ServiceAccount", "ConfigMap"])
def test_names_fit_whatever_the_release_is_called(kind: str) -> None:
    for item in of_kind(objects(release="r" * 53), kind):
        assert len(item["metadata"]["name"]) <= 63
        for value in item["metadata"]["labels"].values():
            assert len(value) <= 63


def test_without_a_jobqueue_there_is_no_worker() -> None:
    found = of_kind(case("default"), "Deployment")
    [worker] = [item for item in found if item["metadata"]["name"] == "jobqueue-worker"]
    assert worker["spec"]["replicas"] == 0
    grace = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    env = {item["name"]: item for item in worker["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert grace > int(env["JOBQUEUE_WORKER__DRAIN_SECONDS"]["value"])
    assert env["JOBQUEUE_WORKER__ID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_the_crd_stays_when_the_chart_goes() -> None:
    [crd] = of_kind(case("default"), "CustomResourceDefinition")
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert of_kind(case("namespaced"), "CustomResourceDefinition") == []


def test_an_operator_of_some_namespaces_has_no_cluster_role() -> None:
    assert of_kind(case("namespaced"), "ClusterRole", "ClusterRoleBinding") == []
    namespaces = {item["metadata"].get("namespace") for item in of_kind(case("namespaced"), "Role")}
    assert {"team-a", "team-b"} <= namespaces


def test_other_settings_renew_the_pods() -> None:
    def sums(*arguments: str) -> set[str]:
        return {
            item["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for item in of_kind(objects(*arguments), "Deployment")
        }

    before, after = sums(), sums("--set", "config.retry.max_attempts=2")
    assert len(before) == len(after) == 1
    assert before != after


@pytest.mark.parametrize(
    ("typo", "key"),
    [
        ("api.replicsa=3", "replicsa"),
        ("config.retry.max_atempts=3", "max_atempts"),
        ("oprator.replicas=1", "oprator"),
        ("monitoring.enable=true", "enable"),
    ],
)
def test_a_typo_is_refused_and_named(typo: str, key: str) -> None:
    done = render("--set", typo)
    assert done.returncode != 0
    assert f"'{key}' not allowed" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "path"),
    [("api.replicas=many", "/api/replicas"), ("config.retry.max_attempts=0", "/config/retry/max_attempts")],
)
def test_a_wrong_value_is_refused_with_its_path(wrong: str, path: str) -> None:
    done = render("--set", wrong)
    assert done.returncode != 0
    assert f"at '{path}'" in done.stderr
