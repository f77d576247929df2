"""Ports of this machine."""

from __future__ import annotations

import socket

from jobqueue_cli.errors import BAD_ARGUMENTS, CommandError

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return that many ports of the loopback interface that are free now, each another."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    try:
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def check_free(host: str, port: int) -> None:
    """Return when the port can be listened on; ports in TIME_WAIT can (SO_REUSEADDR).

    Raises:
        CommandError: It is taken, or the address is not of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        what = f"--port {port}: cannot listen on {host}: {error.strerror or error}"
        raise CommandError(f"{what}; choose another port, or 0 for a free one", BAD_ARGUMENTS) from error


def accepts(port: int, timeout_seconds: float = 0.5) -> bool:
    """Whether something listens on a port of the loopback interface."""
    try:
        socket.create_connection((LOOPBACK, port), timeout_seconds).close()
    except OSError:
        return False
    return True
