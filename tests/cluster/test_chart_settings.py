"""The settings that the chart gives: every component starts with them. It lies here because it needs helm."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from jobqueue_core.settings.load import load_settings
from jobqueue_operator.cluster.workload import worker_settings
from jobqueue_operator.resource.jobqueue import parse
from jobqueue_testsupport.kube.binaries import find_helm

if TYPE_CHECKING:
    from jobqueue_core.settings.model import Settings

CHART = Path(__file__).parents[2] / "charts" / "jobqueue"
CASES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
Manifest = dict[str, Any]
MONGODB_URI = "mongodb://db.internal/?replicaSet=rs0"
KEYS = '[{"name": "billing", "sha256": "' + "0" * 64 + '"}]'
SECRETS = {"JOBQUEUE_MONGODB__URI": MONGODB_URI, "JOBQUEUE_API__AUTH__KEYS": KEYS}


class FakeSecrets:
    """AWS Secrets Manager with the two secrets of the install case."""

    async def read(self, secret_id: str) -> str:
        return {"jobqueue/mongodb": f'{{"uri": "{MONGODB_URI}"}}', "jobqueue/api-keys": KEYS}[secret_id]


@cache
def render(case: str) -> list[Manifest]:
    values = CHART / "ci" / f"{case}-values.yaml"
    command = [
        find_helm(),
        "template",
        "jobqueue",
        str(CHART),
        "--namespace",
        "apps",
        "--values",
        str(values),
    ]
    done = subprocess.run(  # noqa: S603 -- the command is ours
        [*command, "--kube-version", "1.36.0"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def named(objects: list[Manifest], kind: str, name: str, namespace: str = "apps") -> Manifest:
    [found] = [
        item
        for item in objects
        if (item["kind"], item["metadata"]["name"]) == (kind, name)
        and item["metadata"].get("namespace", namespace) == namespace
    ]
    return found


def environment(objects: list[Manifest], component: str) -> dict[str, str]:
    """What a pod of the component finds in its environment, Secrets and fields of the pod made up."""
    deployment = named(objects, "Deployment", f"jobqueue-{component}")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return {
        item["name"]: item.get("value", SECRETS.get(item["name"], f"{component}-1"))
        for item in container["env"]
    }


def load(objects: list[Manifest], env: dict[str, str], folder: Path) -> Settings:
    file = named(objects, "ConfigMap", "jobqueue-config")["data"]["application.yaml"]
    (folder / "application.yaml").write_text(file)
    return load_settings(env, folder, FakeSecrets())


@pytest.mark.parametrize("case", CASES)
def test_every_component_starts_with_its_settings(case: str, tmp_path: Path) -> None:
    objects = render(case)
    components = {
        item["metadata"]["name"].removeprefix("jobqueue-") for item in objects if item["kind"] == "Deployment"
    }
    assert components
    for component in components:
        env = environment(objects, component)
        assert env.pop("JOBQUEUE_CONFIG_DIR") == "/etc/jobqueue"
        settings = load(objects, env, tmp_path)
        assert settings.mongodb.uri.get_secret_value() == MONGODB_URI


def test_the_settings_of_the_pods_are_those_of_their_ports_and_probes(tmp_path: Path) -> None:
    objects = render("everything")
    for component in ("api", "worker", "operator"):
        settings = load(objects, environment(objects, component), tmp_path)
        ports = {
            "api": settings.api.port,
            "worker": settings.worker.metrics_port,
            "operator": settings.operator.metrics_port,
        }
        spec = named(objects, "Deployment", f"jobqueue-{component}")["spec"]["template"]["spec"]
        [container] = spec["containers"]
        [port] = container["ports"]
        assert port["containerPort"] == ports[component]
        assert container["livenessProbe"]["httpGet"]["port"] == port["name"]


def test_workers_have_time_to_drain_and_to_hand_back(tmp_path: Path) -> None:
    objects = render("everything")
    spec = named(objects, "Deployment", "jobqueue-worker")["spec"]["template"]["spec"]
    settings = load(objects, environment(objects, "worker"), tmp_path)
    assert settings.worker.drain_seconds == 300
    assert spec["terminationGracePeriodSeconds"] == 315


def jobqueue() -> Manifest:
    return {
        "apiVersion": "jobqueue.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {
            "name": "reports",
            "namespace": "team-a",
            "uid": "0000",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-24T12:00:00Z",
        },
        "spec": {
            "queue": {"name": "reports"},
            "processor": {"url": "https://service.example/reports"},
            "retry": {"maxAttempts": 2},
            "worker": {"template": {"image": "registry.example/worker:1"}},
        },
    }


def test_workers_that_the_operator_makes_have_the_charts_settings_and_those_of_their_jobqueue(
    tmp_path: Path,
) -> None:
    objects = render("namespaced")
    operator = load(objects, environment(objects, "operator"), tmp_path).operator
    assert operator.template.config_maps == ("jobqueue-worker-env",)
    assert operator.template.secrets == ("jobqueue-worker",)
    given = named(objects, "ConfigMap", "jobqueue-worker-env", "team-a")["data"]
    (tmp_path / "application.yaml").write_text("{}")  # nothing of the chart is mounted there
    own = worker_settings(parse(jobqueue()), "reports")
    settings = load_settings({**given, "JOBQUEUE_MONGODB__URI": MONGODB_URI, **own}, tmp_path)
    assert given["AWS_REGION"] == "eu-central-1"
    queue = settings.queue()
    assert queue.sqs.receive_wait_seconds == 10  # of the chart
    assert queue.retry.max_attempts == 2  # of both: the JobQueue's
    assert (queue.name, queue.sqs.queue_name) == ("reports", "reports")
    assert queue.processor.url == "https://service.example/reports"
