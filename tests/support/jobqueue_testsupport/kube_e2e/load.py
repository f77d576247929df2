"""A client inside the cluster: a pod that submits jobs through the Service until it is told to stop."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_testsupport.kube_e2e.objects import API_IMAGE, restricted_pod

if TYPE_CHECKING:
    from typing import Any

    from jobqueue_testsupport.kube_e2e.commands import Release

_NAME = "load"
# A connection of its own for each job: it goes to whichever pod the Service chooses. What is refused is not
# submitted again: the test counts it.
_SCRIPT = """
import json, os, sys, time, urllib.request
url, body, period = sys.argv[1] + "/addJob", sys.argv[2].encode(), float(sys.argv[3])
while not os.path.exists("/tmp/stop"):
    began = time.monotonic()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            said = {"job": json.load(answer)["jobId"]}
    except Exception as error:
        said = {"error": repr(error)}
    print(json.dumps(said), flush=True)
    time.sleep(max(0, period - (time.monotonic() - began)))
"""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What the client was told: ids of accepted jobs, and every refusal."""

    job_ids: list[str]
    errors: list[str]


class Load:
    """Submits a job each `period` seconds."""

    def __init__(self, release: Release, url: str, payload: dict[str, Any], period: float) -> None:
        self._release = release
        arguments = [url, json.dumps({"payload": payload}), str(period)]
        self._pod = restricted_pod(_NAME, API_IMAGE, ["python", "-c", _SCRIPT, *arguments])

    def start(self) -> None:
        """Begin.

        Raises:
            CommandError: the pod did not start within a minute.
        """
        self._release.apply(self._pod)
        self._release.kubectl("wait", f"pod/{_NAME}", "--for=condition=Ready", "--timeout=60s")

    def stop(self) -> Submitted:
        """End, and return what was submitted.

        Raises:
            CommandError: it did not end within a minute.
        """
        self._release.kubectl("exec", _NAME, "--", "touch", "/tmp/stop")  # noqa: S108 -- in the pod
        ended = "--for=jsonpath={.status.phase}=Succeeded"
        self._release.kubectl("wait", f"pod/{_NAME}", ended, "--timeout=60s")
        lines = [json.loads(line) for line in self._release.kubectl("logs", _NAME).splitlines()]
        self._release.kubectl("delete", "pod", _NAME)
        return Submitted(
            [line["job"] for line in lines if "job" in line],
            [line["error"] for line in lines if "error" in line],
        )
