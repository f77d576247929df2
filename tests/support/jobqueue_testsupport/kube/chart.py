"""The Helm chart, rendered."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from jobqueue_testsupport.kube.binaries import find_helm

if TYPE_CHECKING:
    from jobqueue_testsupport.kube.api import Object

CHART = Path(__file__).parents[4] / "charts" / "jobqueue"
COMPONENT = "app.kubernetes.io/component"
RBAC = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})
_RENDER_SECONDS = 60.0


def render(release: str, namespace: str) -> list[Object]:
    """Return all objects of the chart with the values of its first install case.

    Raises:
        AssertionError: helm refused; the text is what it said.
    """
    values = sorted((CHART / "ci").glob("*-values.yaml"))
    assert values, f"{CHART} has no ci/*-values.yaml"
    done = subprocess.run(  # noqa: S603 - the command is ours
        [
            *(find_helm(), "template", release, str(CHART), "--namespace", namespace),
            *("--kube-version", "1.36.0", "--values", str(values[0])),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_RENDER_SECONDS,
    )
    assert done.returncode == 0, f"helm template: {done.stderr}"
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def account_of(objects: list[Object], component: str) -> str:
    """Return the name of the ServiceAccount that a component's pods run as."""
    [pod] = [
        item["spec"]["template"]["spec"]
        for item in objects
        if item["kind"] == "Deployment" and item["metadata"]["labels"].get(COMPONENT) == component
    ]
    return str(pod["serviceAccountName"])


def rights_of(objects: list[Object], account: str) -> list[Object]:
    """Return the roles that are bound to a ServiceAccount, and their bindings."""
    bindings = [
        item for item in objects if any(_is(subject, account) for subject in item.get("subjects", ()))
    ]
    bound = {(item["roleRef"]["kind"], item["roleRef"]["name"]) for item in bindings}
    roles = [
        item for item in objects if (item["kind"], item["metadata"]["name"]) in bound and item["kind"] in RBAC
    ]
    return [*roles, *bindings]


def _is(subject: dict[str, Any], account: str) -> bool:
    return bool(subject["kind"] == "ServiceAccount" and subject["name"] == account)
