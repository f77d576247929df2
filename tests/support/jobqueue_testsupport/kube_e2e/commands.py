"""kubectl and helm, as people call them: what a test does to the cluster is what a user can do."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

ROOT = Path(__file__).parents[4]
CHART = ROOT / "charts" / "jobqueue"
_SECONDS = 60.0
_HELM_SECONDS = 180.0
_FORWARD_SECONDS = 20.0
_STOP_SECONDS = 5.0
_LOG_LINES = 15


class CommandError(AssertionError):
    """A command failed; the text has what it said."""


def run(*command: str, given: str | None = None, seconds: float = _SECONDS) -> str:
    """Run a program of PATH, `given` on its standard input, and return what it printed.

    Raises:
        CommandError: it failed, or took longer than `seconds`.
    """
    try:
        done = subprocess.run(  # noqa: S603 -- the commands are the tests' own
            [program(command[0]), *command[1:]],
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(command)}: no end within {seconds:g} s") from error
    if done.returncode != 0:
        raise CommandError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def program(name: str) -> str:
    """Return the path of a program of PATH.

    Raises:
        CommandError: there is none.
    """
    program = shutil.which(name)
    if program is None:
        raise CommandError(f"{name} is not on PATH")
    return program


def current_kubeconfig(folder: Path) -> Path:
    """Write the current context, and nothing else, to a file of its own; return it.

    Raises:
        CommandError: there is no current context.
    """
    path = folder / "current.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(run("kubectl", "config", "view", "--minify", "--flatten", "--raw"))
    return path


class Release:
    """One release of the chart, in a namespace of its own."""

    def __init__(self, namespace: str, name: str = "jobqueue") -> None:
        self.namespace = namespace
        self.name = name

    def install(self, values: Mapping[str, Any]) -> None:
        """`helm install --wait`: return when every part is ready.

        Raises:
            CommandError: it was refused, or is not ready within 3 minutes.
        """
        self._with_values("install", values)

    def upgrade(self, values: Mapping[str, Any]) -> None:
        """`helm upgrade --wait`.

        Raises:
            CommandError: it was refused, or is not ready within 3 minutes.
        """
        self._with_values("upgrade", values)

    def test(self) -> str:
        """`helm test`; return what it said.

        Raises:
            CommandError: a test failed.
        """
        return run("helm", "test", self.name, "-n", self.namespace, seconds=_HELM_SECONDS)

    def uninstall(self) -> None:
        """`helm uninstall --wait`.

        Raises:
            CommandError: it failed.
        """
        run("helm", "uninstall", self.name, "-n", self.namespace, "--wait", seconds=_HELM_SECONDS)

    def is_installed(self) -> bool:
        """Whether Helm knows it."""
        listed = run("helm", "list", "-n", self.namespace, "-q", "--all")
        return self.name in listed.split()

    def state(self) -> str:
        """Return what helps to see why something failed: pods, JobQueues, Events and the ends of logs."""
        pods = self._try("get", "pods", "-o", "name").split()
        logs = (
            self._try("logs", pod, "--all-containers", "--prefix", f"--tail={_LOG_LINES}") for pod in pods
        )
        objects = self._try("get", "pods,deployments,jobqueues", "-o", "wide")
        return "\n".join([objects, self._try("get", "events", "--sort-by=.lastTimestamp"), *logs])

    def _try(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments)
        except CommandError as error:
            return str(error)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl in the namespace and return what it printed.

        Raises:
            CommandError: it failed.
        """
        return run("kubectl", "-n", self.namespace, *arguments, given=given)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """`kubectl apply -f -`.

        Raises:
            CommandError: the API server refused.
        """
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))

    def _with_values(self, verb: str, values: Mapping[str, Any]) -> None:
        wait = ("--wait", "--timeout", f"{_HELM_SECONDS:g}s")
        run(
            *("helm", verb, self.name, str(CHART), "-n", self.namespace, "-f", "-", *wait),
            given=yaml.safe_dump(dict(values)),
            seconds=_HELM_SECONDS + _SECONDS,
        )

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[str]:
        """`kubectl port-forward` to a Service while the context lasts; gives its URL on this machine.

        Raises:
            CommandError: it was not forwarded within 20 s.
        """
        command = [
            program("kubectl"),
            "-n",
            self.namespace,
            "port-forward",
            f"service/{service}",
            f":{port}",
        ]
        with tempfile.NamedTemporaryFile("w") as said:
            process = subprocess.Popen(  # noqa: S603 -- the command is ours
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )
            try:
                yield f"http://127.0.0.1:{_forwarded_port(process, Path(said.name))}"
            finally:
                process.terminate()
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _forwarded_port(process: subprocess.Popen[bytes], said: Path) -> int:
    end = time.monotonic() + _FORWARD_SECONDS
    while True:
        text = said.read_text()
        if found := re.search(r"Forwarding from 127\.0\.0\.1:(\d+)", text):
            return int(found[1])
        if process.poll() is not None or time.monotonic() > end:
            raise CommandError(f"kubectl port-forward: {text}")
        time.sleep(0.05)
