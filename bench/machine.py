"""What the figures were measured on, and what a process has used of it (Linux: proc(5))."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Above this load for each core other programs take part in what is measured.
_BUSY_LOAD = 0.35
_PACKAGES = (
    *("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", "pymongo", "aioboto3", "httpx", "aiohttp"),
    *("prometheus-client", "structlog", "secantusdb", "ministack"),
)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_USER_TICKS, _SYSTEM_TICKS = 11, 12


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine as it was at the start.

    Attributes:
        load: the load averages over 1, 5 and 15 minutes.

    """

    system: str
    cores: int
    python: str
    load: tuple[float, float, float]
    packages: dict[str, str]

    @property
    def is_busy(self) -> bool:
        """Whether other programs were at work: ratios lie then."""
        return self.load[0] > _BUSY_LOAD * self.cores

    def line(self) -> str:
        """Return it in one line."""
        load = ", ".join(f"{value:.2f}" for value in self.load)
        return f"{self.system}, {self.cores} cores, Python {self.python}, load average {load}"

    def as_json(self) -> dict[str, object]:
        """Return it for the results."""
        return {**asdict(self), "busy": self.is_busy}


def this_machine() -> Machine:
    """Look at this machine."""
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        python=sys.version.split()[0],
        load=os.getloadavg(),
        packages={name: _version(name) for name in _PACKAGES},
    )


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, user and system, all its threads.

    Raises:
        OSError: there is no such process.

    """
    # The name of the program, in parentheses, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / _TICKS_PER_SECOND


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process ever had resident (VmHWM).

    Raises:
        OSError: there is no such process.

    """
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    msg = f"process {pid} has no memory any more"
    raise OSError(msg)


class Neighbours:
    """Tells what other programs have used of the machine since it was made.

    To be asked after the processes of the time between have ended: only then do they count as ours.
    """

    def __init__(self) -> None:
        """Begin."""
        self._at = time.monotonic()
        self._others = _others_seconds()

    def cores(self) -> float:
        """Return how many cores they kept busy, on average."""
        return max(0.0, _others_seconds() - self._others) / (time.monotonic() - self._at)


def _others_seconds() -> float:
    """Return the busy time of all cores but what this process and its ended children have used."""
    line = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already (proc(5)).
    user, nice, system, _, _, irq, softirq, steal = (int(ticks) for ticks in line.split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND
    ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return busy - sum(usage.ru_utime + usage.ru_stime for usage in ours)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
