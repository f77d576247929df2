"""The cluster of a run: one that was named for tests, or a control plane of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import yaml

from jobqueue_testsupport.kube.api import SECONDS, KubeApi, namespaced
from jobqueue_testsupport.kube.binaries import NoControlPlaneError, find_binaries
from jobqueue_testsupport.kube.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CONTEXT_VARIABLE = "JOBQUEUE_TEST_KUBE_CONTEXT"
_TOKEN_SECONDS = 7_200


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server, and an administrator's ways to it.

    Attributes:
        origin: Where it came from, in words.
        kubeconfig: One context, the administrator's.
        program: Path of kubectl.
        api: A client with all rights.
        control_plane: The servers, where they are this run's own: tests may stop them and read the audit log.
    """

    origin: str
    kubeconfig: Path
    program: str
    api: KubeApi
    control_plane: ControlPlane | None = None

    def kubectl(
        self, *arguments: str, given: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator, `given` on its standard input.

        Raises:
            AssertionError: it failed, and `check` holds; the text is what it said.
        """
        done = subprocess.run(  # noqa: S603 - the command is ours
            [self.program, "--kubeconfig", str(self.kubeconfig), *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS * 3,
        )
        if check:
            assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects as `kubectl apply -f` does, on the server's side."""
        text = yaml.safe_dump_all(objects)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=text)

    def service_account(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig of a ServiceAccount, made where it is missing; it has no rights yet."""
        accounts = namespaced("/api/v1", "serviceaccounts", namespace)
        if self.api.find(f"{accounts}/{name}") is None:
            self.api.create(accounts, {"metadata": {"name": name}})
        asked = {"spec": {"expirationSeconds": _TOKEN_SECONDS}}
        token = self.api.create(f"{accounts}/{name}/token", asked)["status"]["token"]
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
        path = self.kubeconfig.with_name(f"{namespace}-{name}.kubeconfig")
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path


@contextmanager
def open_cluster(folder: Path) -> Iterator[Cluster]:
    """Give the cluster that JOBQUEUE_TEST_KUBE_CONTEXT names, else one of this run's own in `folder`.

    The current context of a kubeconfig is never used by itself: it may be anybody's cluster.

    Raises:
        NoControlPlaneError: there is neither.
        ServerError: etcd or the API server did not start.
    """
    context = os.environ.get(CONTEXT_VARIABLE)
    if context:
        kubeconfig, program = _named(context, folder)
        with KubeApi(kubeconfig) as api:
            yield Cluster(f"context {context} ({CONTEXT_VARIABLE})", kubeconfig, program, api)
        return
    binaries = find_binaries()
    with ControlPlane(folder, binaries) as plane:
        kubeconfig = plane.apiserver.kubeconfig
        with KubeApi(kubeconfig) as api:
            yield Cluster(
                f"kube-apiserver, {binaries.origin}", kubeconfig, binaries.kubectl, api, control_plane=plane
            )


def _named(context: str, folder: Path) -> tuple[Path, str]:
    """Write a kubeconfig of that one context; return it and kubectl's path."""
    if not os.environ.get("KUBECONFIG"):
        raise NoControlPlaneError(
            f"{CONTEXT_VARIABLE} is set and KUBECONFIG is not: set it to the file with the context {context}"
        )
    program = shutil.which("kubectl") or find_binaries().kubectl
    viewed = subprocess.run(  # noqa: S603 - the command is ours
        [program, "config", "view", "--context", context, "--minify", "--flatten", "--raw", "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    if viewed.returncode != 0:
        raise NoControlPlaneError(f"KUBECONFIG has no context {context}: {viewed.stderr.strip()}")
    config = cast("dict[str, Any]", json.loads(viewed.stdout))
    path = folder / "named.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path, program
