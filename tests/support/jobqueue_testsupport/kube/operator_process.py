"""The operator as a process, started, stopped and killed as a machine does it."""

from __future__ import annotations

import json
import re
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.error import URLError
from urllib.request import urlopen

from jobqueue_testsupport.server import Command, EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANSWER_SECONDS = 5.0


class StartOperator(Protocol):
    """Starts one more operator, as a user of the cluster; keywords are added to its environment."""

    def __call__(self, kubeconfig: Path | None = None, **environment: str) -> OperatorProcess:
        """Return it started; it may not be the one that acts yet."""
        ...


class OperatorProcess(EmbeddedServer):
    """`jobqueue-operator`, configured by the environment alone; its port is that of probes and metrics."""

    name = "jobqueue-operator"

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__(folder)
        self._environment = environment

    def command(self) -> Command:
        """Return how the server is started."""
        program = Path(sysconfig.get_path("scripts")) / self.name
        port = {"JOBQUEUE_OPERATOR__METRICS_PORT": str(self.port)}
        return Command((str(program),), {**self._environment, **port})

    def leads(self) -> bool:
        """Whether it is the one that acts, as it says itself."""
        try:
            return bool(json.loads(self._read("/readyz"))["status"] == "leading")
        except (URLError, OSError):
            return False

    def metric(self, name: str) -> float:
        """Return the sum of all samples of that name; 0 where there are none."""
        samples = re.findall(rf"^{name}(?:{{[^\n]*}})? (\S+)$", self._read("/metrics"), re.MULTILINE)
        return sum(map(float, samples))

    def rounds(self) -> int:
        """Return how many rounds of reading and deciding it has done, over all JobQueues."""
        return int(self.metric("jobqueue_reconcile_seconds_count"))

    def healthy(self) -> bool:
        """Whether its liveness probe succeeds."""
        try:
            return bool(json.loads(self._read("/healthz"))["status"] == "ok")
        except (URLError, OSError):
            return False

    def _read(self, path: str) -> str:
        with urlopen(self.url + path, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310 - our own process
            return str(answer.read().decode())
