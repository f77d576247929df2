"""The API server, as tests speak with it: synchronous, plain JSON."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from kubernetes.config import new_client_from_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from kubernetes.client import ApiClient

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

MERGE_PATCH = "application/merge-patch+json"
SECONDS = 20.0
USER_AGENT = "jobqueue-tests"
GROUP = "/apis/jobqueue.dev/v1alpha1"


class KubeRefusedError(Exception):
    """The API server refused a call; the text is its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


def namespaced(prefix: str, plural: str, namespace: str) -> str:
    """Return the path of a collection, e.g. `namespaced("/apis/apps/v1", "deployments", "default")`."""
    return f"{prefix}/namespaces/{namespace}/{plural}"


class KubeApi:
    """A client with the rights of a kubeconfig; a context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api: ApiClient = new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        self._api.user_agent = USER_AGENT

    def __enter__(self) -> Self:
        """Give the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        self._api.close()  # type: ignore[no-untyped-call]

    def get(self, path: str) -> Object:
        """Read one object."""
        return self._call("GET", path)

    def find(self, path: str) -> Object | None:
        """Read one object; None where there is none."""
        try:
            return self.get(path)
        except KubeRefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def list(self, path: str, **query: str) -> list[Object]:
        """Read the objects of a collection; `query` as the API knows it (`labelSelector`, …)."""
        return cast("list[Object]", self._call("GET", path, query=query)["items"])

    def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """Create an object; unknown fields are refused, as kubectl has them refused."""
        return self._call("POST", path, body=body, query={"fieldValidation": "Strict"})

    def patch(self, path: str, body: Mapping[str, Any]) -> Object:
        """Merge into an object (RFC 7396); unknown fields are refused."""
        return self._call("PATCH", path, body=body, query={"fieldValidation": "Strict"})

    def delete(self, path: str) -> None:
        """Delete an object; it may stay for its finalizers."""
        self._call("DELETE", path)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Object:
        kind = MERGE_PATCH if method == "PATCH" else "application/json"
        request = self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = self._api.call_api(*request, _request_timeout=SECONDS)
        content = cast("Object", json.loads(answer.read() or b"{}"))  # type: ignore[no-untyped-call]
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise KubeRefusedError(answer.status, str(content.get("message", answer.reason)))
        return content
