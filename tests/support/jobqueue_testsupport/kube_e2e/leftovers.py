"""What an uninstalled release has left in the cluster."""

from __future__ import annotations

from jobqueue_testsupport.kube_e2e.commands import run
from jobqueue_testsupport.kube_e2e.objects import BACKENDS

# What every namespace has by itself, what the tests themselves put there, and what forgets itself.
_NOT_OF_A_RELEASE = frozenset(
    {"configmap/kube-root-ca.crt", "serviceaccount/default", f"secret/{BACKENDS}"},
)
_FORGOTTEN_BY_ITSELF = frozenset({"events", "events.events.k8s.io"})
_CLUSTER_WIDE = "clusterrole,clusterrolebinding,validatingwebhookconfiguration,mutatingwebhookconfiguration"


def leftovers(namespace: str, release: str) -> list[str]:
    """Return the names of all objects that a release left behind: any kind, in its namespace and outside."""
    listed = run("kubectl", "api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kinds = ",".join(kind for kind in listed if kind not in _FORGOTTEN_BY_ITSELF)
    inside = run("kubectl", "-n", namespace, "get", kinds, "-o", "name", "--ignore-not-found").split()
    selector = f"app.kubernetes.io/instance={release}"
    outside = run("kubectl", "get", _CLUSTER_WIDE, "-l", selector, "-o", "name").split()
    # The operator's lock: Helm takes the right to delete it away before the operator is told to end.
    lock = f"lease.coordination.k8s.io/{release}-operator"
    return [name for name in [*inside, *outside] if name not in {*_NOT_OF_A_RELEASE, lock}]
