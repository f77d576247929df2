"""What became of every pod: the API server forgets a pod that has ended, and a test must not."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobqueue_testsupport.kube_e2e.commands import program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self, TypeVar

    Result = TypeVar("Result")

_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PodLife:
    """A pod as it was seen last; times are UTC, as exact as the API server keeps them (seconds).

    Attributes:
        started_at: When its container began; None: not yet, or it was taken back before.
        exit_code: Of its container; None while it runs. Without a begin it says nothing.
        deletion_cost: The annotation by which a ReplicaSet chooses which pod it takes first.
        deleted: Whether the API server has forgotten it.
    """

    name: str
    labels: Mapping[str, str]
    created_at: datetime
    started_at: datetime | None
    ready: bool
    exit_code: int | None
    reason: str | None
    restarts: int
    deletion_cost: str | None
    deleting: bool
    deleted: bool


class PodWatch:
    """Follows the pods of a namespace; a context manager."""

    def __init__(self, namespace: str) -> None:
        self._changed = threading.Condition()
        self._pods: dict[str, PodLife] = {}
        self._path = f"/api/v1/namespaces/{namespace}/pods?watch=true"
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._follow, name="pods", daemon=True)

    def pods(self, selector: Mapping[str, str]) -> list[PodLife]:
        """Return all pods with these labels that were ever seen, in the order of their creation."""
        with self._changed:
            found = [pod for pod in self._pods.values() if selector.items() <= pod.labels.items()]
        return sorted(found, key=lambda pod: (pod.created_at, pod.name))

    def all(self) -> list[PodLife]:
        """Return all pods that were ever seen."""
        return self.pods({})

    def wait(self, look: Callable[[], Result], what: str, seconds: float) -> Result:
        """Look again with every change until what is seen is true; return it.

        Raises:
            TimeoutError: it was not, in so many seconds; the text has what was seen last.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while not (seen := look()):
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{what}: not within {seconds:g} s; pods: {list(self._pods.values())}")
                self._changed.wait(left)
            return seen

    def __enter__(self) -> Self:
        """Begin to follow."""
        self._process = subprocess.Popen(  # noqa: S603 -- the command is ours
            [program("kubectl"), "get", "--raw", self._path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._thread.join()
        if process.stdout is not None:
            process.stdout.close()

    def _follow(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        for line in self._process.stdout:
            event = json.loads(line)
            if event["type"] not in {"ADDED", "MODIFIED", "DELETED"}:
                continue
            pod = _life(event["object"], deleted=event["type"] == "DELETED")
            with self._changed:
                self._pods[pod.name] = pod
                self._changed.notify_all()


def _life(pod: dict[str, Any], *, deleted: bool) -> PodLife:
    metadata, status = pod["metadata"], pod.get("status", {})
    container = (status.get("containerStatuses") or [{}])[0]
    state = container.get("state", {})
    ended = state.get("terminated", {})
    started = (ended or state.get("running", {})).get("startedAt")
    return PodLife(
        name=metadata["name"],
        labels=metadata.get("labels", {}),
        created_at=_time(metadata["creationTimestamp"]),
        started_at=None if started is None else _time(started),
        ready=bool(container.get("ready", False)),
        exit_code=ended.get("exitCode"),
        reason=ended.get("reason"),
        restarts=int(container.get("restartCount", 0)),
        deletion_cost=metadata.get("annotations", {}).get("controller.kubernetes.io/pod-deletion-cost"),
        deleting="deletionTimestamp" in metadata,
        deleted=deleted,
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
