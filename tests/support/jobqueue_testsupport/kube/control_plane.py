"""etcd and an API server on free ports of this machine: no nodes, no controllers."""

from __future__ import annotations

import json
import ssl
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import httpx
import yaml

from jobqueue_testsupport.kube.certificates import Authority
from jobqueue_testsupport.server import HOST, Command, EmbeddedServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from jobqueue_testsupport.kube.binaries import Binaries

# Who asked for what, without bodies: enough to count requests by user agent.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_READY_SECONDS = 2.0


class Etcd(EmbeddedServer):
    """The database of the API server; what is written survives a restart, not a crash of the machine."""

    name = "etcd"

    def __init__(self, folder: Path, binaries: Binaries) -> None:
        super().__init__(folder)
        self._binaries = binaries
        self._peer_port = free_port()

    def command(self) -> Command:
        """Return how the server is started."""
        peer = f"http://{HOST}:{self._peer_port}"
        return Command(
            (
                self._binaries.etcd,
                *("--data-dir", str(self.folder / "data")),
                "--unsafe-no-fsync",
                *("--logger", "zap", "--log-level", "error"),
                *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}"),
            )
        )


class ApiServer(EmbeddedServer):
    """`kube-apiserver` with RBAC; it has started when it says so itself (`/readyz`)."""

    name = "kube-apiserver"
    scheme = "https"

    def __init__(self, folder: Path, binaries: Binaries, etcd: Etcd) -> None:
        super().__init__(folder)
        self._binaries = binaries
        self._etcd = etcd
        self._authority = Authority(folder / "pki")
        self._serving = self._authority.server("kube-apiserver", (HOST, "10.96.0.1"))
        self._signing = self._authority.service_account_key()
        self._admin = self._authority.client("admin", "system:masters")
        self._policy = folder / "audit-policy.json"
        self._policy.write_text(json.dumps(_AUDIT_POLICY))
        self.audit_log = folder / "audit.log"
        self.kubeconfig = folder / "admin.kubeconfig"
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(yaml.safe_dump(self._admin_config()))

    def command(self) -> Command:
        """Return how the server is started."""
        return Command(
            (
                self._binaries.apiserver,
                f"--etcd-servers={self._etcd.url}",
                f"--bind-address={HOST}",
                f"--secure-port={self.port}",
                "--endpoint-reconciler-type=none",
                f"--tls-cert-file={self._serving.certificate}",
                f"--tls-private-key-file={self._serving.key}",
                f"--client-ca-file={self._authority.certificate}",
                f"--service-account-key-file={self._signing.certificate}",
                f"--service-account-signing-key-file={self._signing.key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=RBAC",
                # Nobody makes a namespace's default ServiceAccount here, which pods would need.
                "--disable-admission-plugins=ServiceAccount",
                f"--audit-policy-file={self._policy}",
                f"--audit-log-path={self.audit_log}",
            )
        )

    def _takes_connections(self) -> bool:
        context = ssl.create_default_context(cafile=str(self._authority.certificate))
        context.load_cert_chain(*map(str, self._admin))
        try:
            answer = httpx.get(f"{self.url}/readyz", verify=context, timeout=_READY_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.text == "ok"

    def _admin_config(self) -> dict[str, object]:
        cluster = {"server": self.url, "certificate-authority": str(self._authority.certificate)}
        user = {"client-certificate": str(self._admin.certificate), "client-key": str(self._admin.key)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }


class ControlPlane:
    """Both servers; a context manager that leaves nothing running."""

    def __init__(self, folder: Path, binaries: Binaries) -> None:
        self._etcd = Etcd(folder / "etcd", binaries)
        self.apiserver = ApiServer(folder / "apiserver", binaries, self._etcd)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start them."""
        with ExitStack() as stack:
            stack.enter_context(self._etcd)
            # Killed: a stopped one first waits for its watches, and there is nothing that it could lose.
            stack.callback(self.apiserver.kill)
            self.apiserver.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        self._stack.close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have the API server gone for the time of the block, as in a crash."""
        self.apiserver.kill()
        try:
            yield
        finally:
            self.apiserver.start()
