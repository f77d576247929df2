"""JobQueues whose spec breaks a rule that the API server could not check."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from jobqueue_core.adapters.kube.client import KubeError
from jobqueue_operator.cluster import paths
from jobqueue_operator.cluster.conditions import Problem
from jobqueue_operator.cluster.status import Facts, status_of, worth_writing
from jobqueue_operator.resource.names import FINALIZER
from jobqueue_operator.scaling import Suspend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_operator.cluster.controller import Tools

_log = structlog.get_logger(__name__)


class RefusedSpecs:
    """Says in the status what is wrong; nothing else is done about such a JobQueue.

    The next change of the JobQueue is judged anew, so nothing has to be kept.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self.tasks: set[asyncio.Task[None]] = set()

    def tell(self, body: Mapping[str, Any], problems: tuple[str, ...]) -> None:
        """Write the condition behind the back of the watch."""
        task = asyncio.get_running_loop().create_task(self._tell(body, problems))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _tell(self, body: Mapping[str, Any], problems: tuple[str, ...]) -> None:
        metadata, before = body["metadata"], body.get("status") or {}
        problem = Problem("InvalidSpec", "; ".join(problems))
        facts = Facts(generation=metadata["generation"], suspend=Suspend.NONE, concurrency=1, problem=problem)
        status = status_of(facts, before, self._tools.clock.now())
        # What is known of the workers stays: they are held as they are.
        kept = {name: before[name] for name in ("replicas", "readyReplicas", "selector") if name in before}
        status |= kept
        path = paths.jobqueue(metadata["namespace"], metadata["name"])
        try:
            if metadata.get("deletionTimestamp") and FINALIZER in (metadata.get("finalizers") or ()):
                # Which queue is meant cannot be known: it stays, and the deletion is not held up.
                left = [item for item in metadata["finalizers"] if item != FINALIZER]
                await self._tools.kube.patch(path, {"metadata": {"finalizers": left}})
            elif worth_writing(status, before) and self._tools.may_act():
                await self._tools.kube.patch(f"{path}/status", {"status": status})
        except KubeError as error:
            if not error.not_found:
                _log.warning("status not written", jobqueue=path, error=str(error))
