"""Becomes another program that does not outlive its parent (Linux). Run by path, never imported.

    python -I -S launcher.py PARENT_PID PROGRAM [ARGUMENT...]

`PR_SET_PDEATHSIG` has to be set in the child, between fork and exec. A `preexec_fn` would do it by
running Python in a fork of a process that has threads, which can deadlock and which newer Pythons
warn of; a program of its own costs 15 ms and cannot. The setting survives the exec (prctl(2)).

SIGKILL, because it cannot be missed: a parent that ends in order has ended its workers itself, and
one that was killed leaves nothing that a worker could report to.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Bind this process to its parent, then become the command."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    # The parent may have died before the setting took effect.
    if os.getppid() != parent:
        sys.exit(f"{command[0]}: not started, the parent process {parent} is gone")
    try:
        os.execvp(command[0], command)  # noqa: S606 -- no shell is what is wanted
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
