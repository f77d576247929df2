"""What is done to queues, not with them: making, correcting, watching and deleting them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from jobqueue_core.domain.errors import QueueUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobqueue_core.ports.queue import QueueCounts

OWNER_TAG = "jobqueue.dev/owner"
"""The tag that says whose a queue is. A queue without one is nobody's and may be taken over."""

# SQS: MessageRetentionPeriod is at most 14 days. The database is the truth: nothing is gained by less.
_RETENTION_SECONDS = 1_209_600


class QueueFault(StrEnum):
    """What stands in the way, as far as it makes a difference to who has to do something."""

    MISSING = "missing"
    """There is no such queue, or the credentials do not show it."""
    ACCESS_DENIED = "access_denied"
    """There are no credentials, or AWS does not accept them or what they ask for."""
    DELETED_RECENTLY = "deleted_recently"
    """The name is free again 60 s after its queue was deleted."""
    FOREIGN = "foreign"
    """The queue carries the tag of another owner."""
    UNREACHABLE = "unreachable"
    """No answer, or none that SQS itself would stand by, or too many requests: to be tried again."""
    REFUSED = "refused"
    """The request cannot be done as it is."""


class QueueAdminError(QueueUnavailableError):
    """Something could not be done to a queue, or read from it.

    Attributes:
        queue: its name.
        fault: what stood in the way.

    """

    def __init__(self, message: str, *, queue: str, fault: QueueFault) -> None:
        """Take the message for people, and what the program goes by."""
        super().__init__(message)
        self.queue = queue
        self.fault = fault


def fault_of(error: QueueUnavailableError) -> QueueFault:
    """Return what stood in the way, of whatever a queue's adapter raises."""
    return error.fault if isinstance(error, QueueAdminError) else QueueFault.UNREACHABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """The attributes of a queue that are kept as they were planned.

    Attributes:
        visibility_timeout_seconds: how long a received message is hidden.
        retention_seconds: how long a message is kept.
        dead_letter_arn: where messages go that were received too often; None for a dead-letter queue.
        max_receive_count: how often is not too often yet.

    """

    visibility_timeout_seconds: int
    retention_seconds: int
    dead_letter_arn: str | None = None
    max_receive_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlan:
    """What the queues of one job queue shall be.

    `url` names an existing queue where it is given; `create` makes what is missing.
    """

    name: str
    dead_letter_name: str
    visibility_timeout_seconds: int
    max_receive_count: int
    create: bool = False
    url: str | None = None

    @property
    def fifo(self) -> bool:
        """SQS: a FIFO queue's name ends in `.fifo`, and so does its dead-letter queue's."""
        return self.name.endswith(".fifo")

    def settings(self, dead_letter_arn: str | None) -> QueueSettings:
        """Return the settings of the queue, or of its dead-letter queue when no ARN is given."""
        return QueueSettings(
            visibility_timeout_seconds=self.visibility_timeout_seconds,
            retention_seconds=_RETENTION_SECONDS,
            dead_letter_arn=dead_letter_arn,
            max_receive_count=None if dead_letter_arn is None else self.max_receive_count,
        )

    def fits(self, found: QueueSettings) -> bool:
        """Tell whether the queue's settings are as planned."""
        # An ARN ends in the queue's name.
        arn = found.dead_letter_arn
        leads_there = arn is not None and arn.rpartition(":")[2] == self.dead_letter_name
        return leads_there and found == self.settings(arn)


@dataclass(frozen=True, slots=True)
class Correction:
    """An attribute that was not as planned and has been set.

    Attributes:
        queue: name of the queue.
        attribute: SQS's name of it.
        was: what was found; None where it was not set.
        now: what it has been set to.

    """

    queue: str
    attribute: str
    was: str | None
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """Both queues of a plan, and what it took.

    Attributes:
        url: the queue.
        dead_letter_url: its dead-letter queue.
        created: names of the queues that were made.
        corrected: what was changed.

    """

    url: str
    dead_letter_url: str
    created: tuple[str, ...] = ()
    corrected: tuple[Correction, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueReading:
    """One look at a queue.

    Attributes:
        counts: SQS's three counts.
        settings: as they are; None where they were not asked for.

    """

    counts: QueueCounts
    settings: QueueSettings | None = None


def never(_owner: str) -> bool:
    """Take every owner for one that exists."""
    return False


class QueueAdmin(Protocol):
    """Makes, watches and deletes queues. Every method raises QueueAdminError."""

    async def converge(
        self, plan: QueuePlan, tags: Mapping[str, str], gone: Callable[[str], bool] = never
    ) -> Provisioned:
        """Bring both queues to what the plan says; with `create` off, only find them.

        Safe to repeat: what is as planned is left alone, what was changed by hand is corrected.
        SQS takes up to 60 s to spread a change of attributes, so a reading after a correction may
        for a while still show what was.

        Args:
            plan: names, settings, and whether anything may be written.
            tags: set on both queues. A queue whose tag `OWNER_TAG` has another value is not touched.
            gone: tells of such another owner that it does not exist any more: its queue may be taken over.

        Raises:
            QueueAdminError: `FOREIGN` when a queue is another's, before anything is written;
                `MISSING` when one may not be created and is not there. A queue given by URL is
                looked at only where it is the plan's to correct.

        """
        ...

    async def read(self, url: str, *, with_settings: bool = False) -> QueueReading:
        """Read a queue's counts, and with them its settings, in one request."""
        ...

    async def dead_letters(self, url: str) -> int:
        """Return how many messages a dead-letter queue holds, in hand or not (approximate)."""
        ...

    async def messages(self, plan: QueuePlan, owner: str) -> int:
        """Return how many messages would be lost with the plan's queues.

        Those in flight and delayed count, and dead letters; queues that are gone or do not carry the
        owner's tag do not. 0 is as sure as SQS's approximate counts are.
        """
        ...

    async def delete(self, plan: QueuePlan, owner: str) -> tuple[str, ...]:
        """Delete those of the plan's queues that carry the owner's tag, with all that is in them.

        Returns:
            The names of those deleted. A queue that is gone, or is not the owner's, is passed over.

        """
        ...
