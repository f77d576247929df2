"""The Kubernetes client: off the event loop, counted calls, plain JSON, the product's own errors."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from kubernetes import client as kubernetes
from kubernetes.client.exceptions import ApiException
from kubernetes.config import load_incluster_config, load_kube_config
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from jobqueue_core.build import build_version
from jobqueue_core.domain.errors import JobQueueError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client.rest import RESTResponse
    from urllib3 import HTTPResponse

Object = dict[str, Any]
"""A Kubernetes object, or a list of them, as JSON."""

MERGE_PATCH = "application/merge-patch+json"
"""RFC 7396: what is null is taken away, a list is replaced as a whole."""

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CALL_TIMEOUT_SECONDS = 10.0
_CONNECT_TIMEOUT_SECONDS = 3.0
_NOT_FOUND = 404
_CONFLICT = 409
_FIRST_ERROR = 400
_UNANSWERED = (ApiException, HTTPError, OSError, ValueError)


class KubeError(JobQueueError):
    """The API server refused a call, or did not answer (`status` is 0 then)."""

    def __init__(self, message: str, *, status: int, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def not_found(self) -> bool:
        """Whether the object does not exist."""
        return self.status == _NOT_FOUND

    @property
    def conflict(self) -> bool:
        """Whether the object exists already, or was changed meanwhile."""
        return self.status == _CONFLICT


class KubeObserver(Protocol):
    """Is told of every request, so that their number can be watched; by any thread."""

    def kube_request(self, verb: str, resource: str, code: int) -> None:
        """Count one request: the verb of RBAC, the resource's plural, the HTTP code (0: no answer)."""
        ...


def kube_configuration() -> kubernetes.Configuration:
    """Return how to reach the cluster: that of the pod, else of `KUBECONFIG` or `~/.kube/config`.

    Raises:
        KubeError: there is neither.
    """
    configuration = kubernetes.Configuration()
    try:
        if (_SERVICE_ACCOUNT / "token").exists() and not os.environ.get("KUBECONFIG"):
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        message = f"no cluster is configured (neither a pod's service account nor a kubeconfig): {error}"
        raise KubeError(message, status=0) from error
    return configuration


def own_namespace() -> str:
    """Return the namespace of this pod; `default` outside of a cluster."""
    named = os.environ.get("POD_NAMESPACE")
    if named:
        return named
    try:
        return (_SERVICE_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        return "default"


class KubeClient:
    """Calls the API server with at most `max_connections` calls at once.

    The `kubernetes` package is synchronous: each call runs in a thread of this client's own pool.
    """

    def __init__(
        self,
        observer: KubeObserver,
        *,
        configuration: kubernetes.Configuration | None = None,
        max_connections: int = 8,
    ) -> None:
        configuration = configuration or kube_configuration()
        configuration.connection_pool_maxsize = max_connections
        # Failed calls are repeated by the reconciling loops, which read the state anew first.
        configuration.retries = False
        self._api = kubernetes.ApiClient(configuration)
        self._api.user_agent = f"jobqueue/{build_version()}"
        self._observer = observer
        self._pool = ThreadPoolExecutor(max_connections, thread_name_prefix="kube")

    async def get(self, path: str) -> Object:
        """Read one object.

        Args:
            path: below the server's root, for instance `/api/v1/namespaces/default/pods/a`.

        Raises:
            KubeError: the call failed.
        """
        return await self._call("GET", "get", path)

    async def list(self, path: str, **query: str) -> list[Object]:
        """Read the objects of a collection; `query` as the API knows it (`labelSelector`, …).

        Raises:
            KubeError: the call failed.
        """
        return cast("list[Object]", (await self.listing(path, **query))["items"])

    async def listing(self, path: str, **query: str) -> Object:
        """Read a collection as the list it is: with the `resourceVersion` from which it can be watched.

        Raises:
            KubeError: the call failed.
        """
        return await self._call("GET", "list", path, query=query)

    def open_watch(self, path: str, *, silence_seconds: float, **query: str) -> HTTPResponse:
        """Open a watch of a collection. Blocks: to be called, like what is done to the answer, in a thread.

        Args:
            path: of the collection.
            silence_seconds: reading fails when nothing was said for so long.
            query: as the API knows it (`resourceVersion`, …).

        Raises:
            KubeError: it was refused, or the API server did not answer.
        """
        code = 0
        try:
            answer = self._send(
                "GET", path, {"watch": "true", **query}, None, (_CONNECT_TIMEOUT_SECONDS, silence_seconds)
            )
            code = int(answer.status)
            refused = None if code < _FIRST_ERROR else _refused("WATCH", path, answer)
        except _UNANSWERED as error:
            raise _unanswered("WATCH", path, error) from error
        finally:
            self._observer.kube_request("watch", resource_of(path), code)
        if refused is not None:
            raise refused
        return cast("HTTPResponse", answer.response)

    async def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """Create an object in a collection.

        Raises:
            KubeError: the call failed; `conflict` when there is one of this name.
        """
        return await self._call("POST", "create", path, body=body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> Object:
        """Replace an object, its `resourceVersion` unchanged since it was read.

        Raises:
            KubeError: the call failed; `conflict` when it was changed meanwhile.
        """
        return await self._call("PUT", "update", path, body=body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> Object:
        """Merge into an object (RFC 7396).

        Raises:
            KubeError: the call failed.
        """
        return await self._call("PATCH", "patch", path, body=body)

    async def delete(self, path: str) -> None:
        """Delete an object.

        Raises:
            KubeError: the call failed.
        """
        await self._call("DELETE", "delete", path)

    def close(self) -> None:
        """Close the connections; calls under way end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._api.close()  # type: ignore[no-untyped-call]

    async def _call(
        self,
        method: str,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Object:
        loop = asyncio.get_running_loop()
        code, answer = await loop.run_in_executor(self._pool, self._request, method, path, query or {}, body)
        self._observer.kube_request(verb, resource_of(path), code)
        if isinstance(answer, KubeError):
            raise answer
        return answer

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> tuple[int, Object | KubeError]:
        """Make one call; runs in a thread. The error is returned, so that it can be counted first."""
        try:
            answer = self._send(method, path, query, body, (_CONNECT_TIMEOUT_SECONDS, _CALL_TIMEOUT_SECONDS))
            code = int(answer.status)
            if code < _FIRST_ERROR:
                return code, _content(answer)
            return code, _refused(method, path, answer)
        except _UNANSWERED as error:
            return 0, _unanswered(method, path, error)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        timeout_seconds: tuple[float, float],
    ) -> RESTResponse:
        """Send one request; the body of the answer is not read yet."""
        request = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={
                "Accept": "application/json",
                "Content-Type": MERGE_PATCH if method == "PATCH" else "application/json",
            },
            body=body,
            auth_settings=["BearerToken"],
        )
        return self._api.call_api(*request, _request_timeout=timeout_seconds)


def _content(answer: RESTResponse) -> Object:
    return cast("Object", json.loads(answer.read() or b"{}"))  # type: ignore[no-untyped-call]


def _refused(method: str, path: str, answer: RESTResponse) -> KubeError:
    content = _content(answer)
    said, reason = content.get("message", answer.reason), str(content.get("reason", ""))
    message = f"the API server refused {method} {path}: {said}"
    return KubeError(message[:500], status=int(answer.status), reason=reason)


def _unanswered(method: str, path: str, error: Exception) -> KubeError:
    return KubeError(f"the API server did not answer {method} {path}: {error}"[:500], status=0)


def resource_of(path: str) -> str:
    """Return the plural that a path names, with its subresource: `deployments/scale`."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:  # noqa: PLR2004 -- namespaces, its name, what is in it
        rest = rest[2:]
    return "/".join([*rest[:1], *rest[2:3]])
