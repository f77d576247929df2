"""How long what waits will take."""

from __future__ import annotations


def drain_seconds(
    backlog: int, service_seconds: float | None, concurrency: int, replicas: int
) -> float | None:
    """Estimate the seconds until a backlog is done, if nothing more arrives.

    Never less than one service time while anything is left, however many slots there are.

    Args:
        backlog: Jobs that wait or run.
        service_seconds: Mean duration of one attempt; None when not measured yet.
        concurrency: Jobs that one replica runs at once.
        replicas: Replicas that run.

    Returns:
        Seconds, 0 for an empty backlog, None when it cannot be known: no service time yet, or
        nobody working.
    """
    if backlog <= 0:
        return 0.0
    slots = replicas * concurrency
    if service_seconds is None or slots <= 0:
        return None
    return max(service_seconds, backlog * service_seconds / slots)
