"""What the chart renders, for every case of charts/jobqueue/ci. It lies here because it needs helm."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobqueue_api.metrics import ApiMetrics

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


def drain_and_grace(*arguments: str) -> tuple[int, int]:
    """Return for how long workers drain, and after how long they are killed."""
    deployments = of_kind(objects(*arguments), "Deployment")
    [worker] = [item for item in deployments if item["metadata"]["name"] == "jobqueue-worker"]
    spec = worker["spec"]["template"]["spec"]
    env = {item["name"]: item for item in spec["containers"][0]["env"]}
    return int(env["JOBQUEUE_WORKER__DRAIN_SECONDS"]["value"]), spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], (35, 50)),
        (["config.processor.timeout_seconds=600"], (605, 620)),
        (["config.processor.timeout_seconds=0.5"], (25, 40)),
        (["config.processor.timeout_seconds=45.2"], (51, 66)),
        (["config.queues.reports.processor.timeout_seconds=900"], (905, 920)),
        (["worker.drainSeconds=0"], (0, 15)),
        (["worker.drainSeconds=300", "config.processor.timeout_seconds=600"], (300, 315)),
        (["worker.terminationGracePeriodSeconds=30"], (20, 30)),
        (["worker.terminationGracePeriodSeconds=600"], (35, 600)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_worker_that_is_stopped_has_the_time_of_a_call_and_more_to_hand_back(
    values: list[str], wanted: tuple[int, int]
) -> None:
    assert drain_and_grace(*(part for value in values for part in ("--set-json", value))) == wanted


def test_a_worker_that_would_be_killed_before_it_has_handed_back_is_refused() -> None:
    refused = render("--set", "worker.drainSeconds=60,worker.terminationGracePeriodSeconds=69")
    assert refused.returncode != 0
    assert "terminationGracePeriodSeconds must be at least 10 more than worker.drainSeconds" in refused.stderr


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


def test_alerts_are_made_only_where_they_are_asked_for() -> None:
    assert of_kind(case("default"), "PrometheusRule") == []
    assert (
        of_kind(objects("--set", "aws.region=eu-central-1,monitoring.enabled=true"), "PrometheusRule") == []
    )


def test_alerts_go_by_metrics_that_the_api_has() -> None:
    (found,) = of_kind(case("monitoring"), "PrometheusRule")
    assert found["metadata"]["labels"]["release"] == "prometheus"
    metrics = ApiMetrics()
    metrics.dead_letters("default", failed=1, letters=1)
    exposed = metrics.render().decode()
    (group,) = found["spec"]["groups"]
    assert [rule["alert"] for rule in group["rules"]] == ["JobQueueDeadLetters", "JobQueueForeignLetters"]
    for rule in group["rules"]:
        selectors = re.findall(r'(jobqueue_\w+){source="(\w+)"}', rule["expr"])
        assert selectors
        for name, source in selectors:
            assert f'{name}{{queue="default",source="{source}"}}' in exposed
        assert rule["labels"] == {"severity": "warning"}
        assert rule["annotations"]["runbook_url"] == "https://runbooks.example/jobqueue/dead-letters"
        assert "{{ $labels.queue }}" in rule["annotations"]["summary"]
