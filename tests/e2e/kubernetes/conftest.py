"""The system on a real node, installed once for all tests of this folder."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobqueue_testsupport.kube.api import KubeApi
from jobqueue_testsupport.kube_e2e.commands import CommandError, Release, current_kubeconfig, run
from jobqueue_testsupport.kube_e2e.neighbours import neighbours
from jobqueue_testsupport.kube_e2e.objects import backend_secret, chart_values
from jobqueue_testsupport.kube_e2e.pods import PodWatch
from jobqueue_testsupport.kube_e2e.system import System
from jobqueue_testsupport.report import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
VARIABLE = "JOBQUEUE_E2E"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobqueues.jobqueue.dev"
FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin the list of figures."""
    config.stash[FIGURES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests to `make e2e`: they need a node, images, and minutes."""
    if os.environ.get(VARIABLE):
        return
    mine = [item for item in items if HERE in item.path.parents]
    config.stash[REPORT].not_run["tests/e2e/kubernetes"] = "`make e2e` runs them, on a real node"
    config.hook.pytest_deselected(items=mine)
    items[:] = [item for item in items if item not in mine]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    lines = config.stash.get(FIGURES, [])
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    """The API server of the current context."""
    with KubeApi(current_kubeconfig(tmp_path_factory.mktemp("kubeconfig"))) as api:
        yield api


@pytest.fixture(scope="session")
def namespace(kube: KubeApi) -> Iterator[str]:
    """A namespace of restricted pods; gone afterwards, with the CRD unless that was there before."""
    name = f"jobqueue-e2e-{uuid.uuid4().hex[:6]}"
    had_crd = kube.find(CRD) is not None
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    yield name
    if not had_crd and kube.find(CRD) is not None:
        run("kubectl", "delete", "crd", "jobqueues.jobqueue.dev")
    run("kubectl", "delete", "namespace", name)


@pytest.fixture(scope="session")
def system(
    kube: KubeApi, namespace: str, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[System]:
    """The chart, installed; uninstalled at the end where no test has done so."""
    release = Release(namespace)
    with neighbours(tmp_path_factory.mktemp("beside")) as beside, PodWatch(namespace) as pods:
        found = System(release, kube, beside, pods, pytestconfig.stash[FIGURES])
        release.apply(backend_secret(beside))
        began = time.monotonic()
        try:
            release.install(chart_values(beside))
            found.figures.append(f"helm install --wait: {time.monotonic() - began:.1f} s")
            yield found
        except CommandError as error:
            error.add_note(release.state())
            raise
        finally:
            if release.is_installed():
                release.uninstall()


@pytest.fixture(autouse=True)
def state_of_the_cluster(request: pytest.FixtureRequest, system: System) -> Iterator[None]:
    """Where a test fails, add what the cluster looks like then: it is gone when the report is read."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        request.node.add_report_section("teardown", "cluster", system.release.state())
