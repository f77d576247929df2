"""How many messages to ask for: enough that no slot idles, few enough that others get their share."""

from __future__ import annotations

from math import floor

# SQS: messages in one receive.
RECEIVE_MAX = 10
# What is received ahead of a free slot is begun within about this time.
_AHEAD_SECONDS = 0.1
# Beyond it nothing is gained: some batches on the way from the queue to a slot, and as many outcomes
# on the way to the store.
AHEAD_MAX = 5 * RECEIVE_MAX


def messages_ahead(concurrency: int, service_seconds: float | None) -> int:
    """Return how many messages to hold beyond the slots.

    Slow jobs are never held ahead: they would wait here while another worker is free. Quick
    ones are, so that a receive brings ten (and costs a tenth of a request each).

    Args:
        concurrency: slots of this worker.
        service_seconds: mean length of an attempt; None while nothing is known.

    """
    if service_seconds is None:
        return 0
    begun_per_second = concurrency / max(service_seconds, 0.001)
    return min(AHEAD_MAX, floor(begun_per_second * _AHEAD_SECONDS))


def receive_size(held: int, concurrency: int, ahead: int) -> int:
    """Return how many messages to ask for now; 0: wait until more of what is held is done.

    With messages held ahead the receive waits until a whole batch fits.
    """
    room = concurrency + ahead - held
    return min(RECEIVE_MAX, room) if room >= _least_room(ahead) else 0


def most_held_for_receive(concurrency: int, ahead: int) -> int:
    """Return the number of held messages at or below which `receive_size` is positive."""
    return concurrency + ahead - _least_room(ahead)


def _least_room(ahead: int) -> int:
    return max(1, min(RECEIVE_MAX, ahead))
