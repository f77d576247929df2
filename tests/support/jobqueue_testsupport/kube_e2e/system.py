"""The installed system, as its tests see it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobqueue_testsupport.kube.api import GROUP, namespaced
from jobqueue_testsupport.kube_e2e.clients import ApiUser
from jobqueue_testsupport.kube_e2e.objects import API_PORT, API_SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobqueue_testsupport.kube.api import KubeApi
    from jobqueue_testsupport.kube_e2e.commands import Release
    from jobqueue_testsupport.kube_e2e.neighbours import Neighbours
    from jobqueue_testsupport.kube_e2e.pods import PodLife, PodWatch

DEPLOYMENTS = "/apis/apps/v1"


@dataclass(frozen=True, slots=True)
class System:
    """The installed release, and everything that a test needs to use it.

    Attributes:
        figures: Lines for the end of the report.
    """

    release: Release
    kube: KubeApi
    beside: Neighbours
    pods: PodWatch
    figures: list[str]

    @contextmanager
    def user(self) -> Iterator[ApiUser]:
        """Give a client of the API, through its Service."""
        with self.release.forwarded(API_SERVICE, API_PORT) as url, ApiUser(url) as user:
            yield user

    def jobqueue(self, name: str) -> dict[str, Any]:
        """Read a JobQueue."""
        return self.kube.get(f"{namespaced(GROUP, 'jobqueues', self.release.namespace)}/{name}")

    def replicas(self, deployment: str) -> int:
        """Return how many pods a Deployment is asked for."""
        path = f"{namespaced(DEPLOYMENTS, 'deployments', self.release.namespace)}/{deployment}"
        return int(self.kube.get(path)["spec"]["replicas"])

    def workers(self, deployment: str) -> list[PodLife]:
        """Return every pod that a Deployment ever had."""
        path = f"{namespaced(DEPLOYMENTS, 'deployments', self.release.namespace)}/{deployment}"
        return self.pods.pods(self.kube.get(path)["spec"]["selector"]["matchLabels"])

    def wait_no_worker(self, deployment: str, seconds: float) -> None:
        """Wait until a Deployment has no pod left.

        Raises:
            TimeoutError: it has, after so many seconds.
        """
        selector = self.kube.get(
            f"{namespaced(DEPLOYMENTS, 'deployments', self.release.namespace)}/{deployment}"
        )["spec"]["selector"]["matchLabels"]
        self.pods.wait(
            lambda: all(pod.deleted for pod in self.pods.pods(selector)), f"no pod of {deployment}", seconds
        )
