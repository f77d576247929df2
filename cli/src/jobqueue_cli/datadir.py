"""The data folder: one run at a time, and where each part keeps its files."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from jobqueue_cli.errors import BAD_ARGUMENTS, CommandError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self, TextIO

_OLD_LOG_SUFFIX = ".1"


class DataDir:
    """A data folder, to be used as a context manager: within it no other run can use the folder.

    The lock is the operating system's (flock(2)): it ends with this process, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._lock: TextIO | None = None

    @property
    def database(self) -> Path:
        """Where the embedded database keeps its files."""
        return self._path / "mongodb"

    @property
    def database_config(self) -> Path:
        """The embedded database's configuration file: empty, so that it takes none that lies about."""
        return self._path / "secantusd.toml"

    @property
    def queue(self) -> Path:
        """Where the embedded queue keeps its state."""
        return self._path / "sqs"

    @property
    def logs(self) -> Path:
        """The log files of this run."""
        return self._path / "logs"

    def log(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.logs / f"{name}.log"

    def __enter__(self) -> Self:
        """Make the folder, lock it, and put the logs of the run before aside.

        Raises:
            CommandError: It cannot be written, or another run uses it.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.queue.mkdir(exist_ok=True)
            lock = (self._path / "lock").open("a+", encoding="ascii")
        except OSError as error:
            message = f"--data-dir {self._path}: cannot be written: {error.strerror}"
            raise CommandError(message, BAD_ARGUMENTS) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            message = (
                f"--data-dir {self._path}: in use by a run with process id {pid}; end it, or name another"
            )
            raise CommandError(message, BAD_ARGUMENTS) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        self.database_config.touch()
        for log in self.logs.glob("*.log"):
            log.replace(log.with_name(log.name + _OLD_LOG_SUFFIX))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it. The lock file stays: removing it would let two runs lock two files of that name."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, indented; a word for an empty one."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    last = text.splitlines()[-lines:] or ["(empty)"]
    return "\n".join(f"    {line}" for line in last)
