"""Servers that tests start, stop, kill and start again on the same data."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

HOST = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02


class ServerError(RuntimeError):
    """A server of the tests did not start; the text ends with its log."""


class Command(NamedTuple):
    """How to start a server: its arguments, and what is added to the environment."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = {}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _script(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


class EmbeddedServer:
    """One server process with a data folder; a context manager that leaves nothing running.

    It keeps its port over restarts, so that clients find it again. A subclass says how it is started.
    """

    name = "server"
    scheme = "http"

    def __init__(self, folder: Path) -> None:
        """Keep data and log below `folder`; nothing is started yet."""
        self.folder = folder
        self.port = free_port()
        self.log = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Command:
        """Return how the server is started."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{self.scheme}://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended by itself (minus the signal that ended it); None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it and return when it takes connections.

        Raises:
            ServerError: it ended, or took no connection within 30 s.

        """
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments, environment = self.command()
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C is for pytest, whose fixtures then stop the server.
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                arguments,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._takes_connections():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(
                    f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and make it end when it does not within 10 s."""
        process = self._process
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it and its children at once (`kill -9`), as a crash would."""
        process, self._process = self._process, None
        if process is None:
            return
        # Its own session makes it the leader of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self) -> None:
        """Stop it and start it on the same data and port."""
        self.stop()
        self.start()

    def _takes_connections(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0):
                return True
        except OSError:
            return False

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


class EmbeddedMongo(EmbeddedServer):
    """SecantusDB: speaks MongoDB's wire protocol, and loses no acknowledged write when killed."""

    name = "secantusd-rs"
    scheme = "mongodb"

    def command(self) -> Command:
        """Return how the server is started."""
        return Command(
            (
                _script("secantusd-rs"),
                *("--host", HOST),
                *("--port", str(self.port)),
                *("--storage-path", str(self.folder / "data")),
                *("--log-level", "WARNING"),
                *("--cache-size", "256M"),
                *("--log-file-max", "128MB"),
                "--sync-on-commit",
            )
        )

    @property
    def url(self) -> str:
        """Return the URI; the server knows no retryable writes."""
        return f"{super().url}/?retryWrites=false"


class EmbeddedSqs(EmbeddedServer):
    """MiniStack: speaks AWS's protocols; what it holds survives `stop`, not `kill`."""

    name = "ministack"

    def command(self) -> Command:
        """Return how the server is started."""
        return Command(
            (_script("ministack"),),
            {
                "BIND_HOST": HOST,
                "GATEWAY_PORT": str(self.port),
                "PERSIST_STATE": "1",
                "STATE_DIR": str(self.folder / "data"),
                "IOT_MTLS_ENABLED": "0",
            },
        )
