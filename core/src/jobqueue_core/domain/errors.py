"""What can go wrong, in the product's own words. Adapters chain the client's error behind these."""

from __future__ import annotations


class JobQueueError(Exception):
    """Root of every error this product raises on purpose."""


class StoreUnavailableError(JobQueueError):
    """The job store did not answer, or could not confirm a write with a majority."""


class QueueUnavailableError(JobQueueError):
    """The queue did not answer, refused the call as a whole, or does not exist."""


class MessageFormatError(JobQueueError):
    """A message is not one of ours: unreadable, or of a version this worker does not know."""


class TransitionNotAllowedError(JobQueueError):
    """The job is in a state from which the wanted step does not lead on."""
