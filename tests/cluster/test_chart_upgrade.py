"""The chart, installed in a real API server: what an upgrade changes, and what it leaves alone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobqueue_testsupport.kube.api import namespaced
from jobqueue_testsupport.kube.binaries import find_helm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobqueue_testsupport.kube.api import Object
    from jobqueue_testsupport.kube.cluster import Cluster

CHART = Path(__file__).parents[2] / "charts" / "jobqueue"
_SECONDS = 60.0


class Release:
    """A release of the chart in the test's namespace; the CRD is there before."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def helm(self, verb: str, *arguments: str) -> str:
        where = ("--namespace", self._namespace, "--kubeconfig", str(self._cluster.kubeconfig))
        done = subprocess.run(  # noqa: S603 -- the command is ours
            [find_helm(), verb, "jobqueue", *arguments, *where],
            check=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def put(self, verb: str, *values: str) -> None:
        sets = [part for value in values for part in ("--set", value)]
        self.helm(verb, str(CHART), "--set", "crds.install=false", *sets)

    def deployment(self, component: str) -> Object:
        path = namespaced("/apis/apps/v1", "deployments", self._namespace)
        return self._cluster.api.get(f"{path}/jobqueue-{component}")

    def scale(self, component: str, replicas: int) -> None:
        name = f"deployment/jobqueue-{component}"
        self._cluster.kubectl("-n", self._namespace, "scale", name, f"--replicas={replicas}")

    def checksum(self, component: str) -> str:
        annotations = self.deployment(component)["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["checksum/config"])


@pytest.fixture
def release(cluster: Cluster, namespace: str) -> Iterator[Release]:
    """A release that is not installed yet; what it made for the whole cluster is gone afterwards."""
    made = Release(cluster, namespace)
    yield made
    made.helm("uninstall", "--ignore-not-found")


def test_an_upgrade_leaves_the_number_of_workers_to_the_operator(release: Release) -> None:
    release.put("install")
    assert release.deployment("worker")["spec"]["replicas"] == 0
    before = release.checksum("worker")
    release.scale("worker", 7)

    release.put("upgrade", "config.retry.max_attempts=2")
    assert release.checksum("worker") != before
    assert release.deployment("worker")["spec"]["replicas"] == 7
    release.put("upgrade", "config.retry.max_attempts=4")
    assert release.deployment("worker")["spec"]["replicas"] == 7

    release.put("upgrade", "worker.replicas=2")
    assert release.deployment("worker")["spec"]["replicas"] == 2


def test_an_upgrade_leaves_the_number_of_api_pods_to_an_autoscaler(release: Release) -> None:
    release.put("install", "api.autoscaling.enabled=true", "api.autoscaling.minReplicas=3")
    assert release.deployment("api")["spec"]["replicas"] == 3
    release.scale("api", 5)
    release.put(
        "upgrade", "api.autoscaling.enabled=true", "api.autoscaling.minReplicas=3", "aws.region=eu-west-1"
    )
    assert release.deployment("api")["spec"]["replicas"] == 5


def test_what_is_uninstalled_leaves_nothing_for_the_whole_cluster(release: Release, cluster: Cluster) -> None:
    selector = ("-l", "app.kubernetes.io/name=jobqueue", "-o", "name")
    kinds = "clusterroles,clusterrolebindings"
    others = set(cluster.kubectl("get", kinds, *selector).stdout.split())
    release.put("install")
    assert set(cluster.kubectl("get", kinds, *selector).stdout.split()) > others
    release.helm("uninstall")
    assert set(cluster.kubectl("get", kinds, *selector).stdout.split()) <= others
