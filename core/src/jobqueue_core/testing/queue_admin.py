"""Queues that are only looked after: settings, tags, counts, and faults on demand."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from jobqueue_core.ports.queue import QueueCounts
from jobqueue_core.ports.queue_admin import (
    OWNER_TAG,
    Correction,
    Provisioned,
    QueueAdminError,
    QueueFault,
    QueueReading,
    never,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobqueue_core.ports.queue_admin import QueuePlan, QueueSettings

_ATTRIBUTES = {
    "visibility_timeout_seconds": "VisibilityTimeout",
    "retention_seconds": "MessageRetentionPeriod",
    "dead_letter_arn": "RedrivePolicy",
    "max_receive_count": "RedrivePolicy",
}


@dataclass(slots=True)
class MemoryQueueState:
    """One queue, to be changed by tests as they like."""

    settings: QueueSettings
    tags: dict[str, str] = field(default_factory=dict)
    counts: QueueCounts = field(default_factory=lambda: QueueCounts(0, 0, 0))


class MemoryQueueAdmin:
    """Implements the port `QueueAdmin`.

    Attributes:
        queues: what there is, by name.
        faults: what stands in the way of a queue, by its name; under `*`, of every queue.
        calls: how often each method was called.

    """

    def __init__(self) -> None:
        """Begin without queues."""
        self.queues: dict[str, MemoryQueueState] = {}
        self.faults: dict[str, QueueFault] = {}
        self.calls: dict[str, int] = {}

    @staticmethod
    def url(name: str) -> str:
        """Return the URL of the queue of that name."""
        return f"memory://queues/{name}"

    @staticmethod
    def arn(name: str) -> str:
        """Return the ARN of the queue of that name."""
        return f"arn:aws:sqs:memory:000000000000:{name}"

    def _call(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1

    def _check(self, name: str) -> None:
        fault = self.faults.get(name) or self.faults.get("*")
        if fault is not None:
            raise _error(name, fault)

    def _get(self, url: str) -> MemoryQueueState:
        name = _name(url)
        self._check(name)
        if name not in self.queues:
            raise _error(name, QueueFault.MISSING)
        return self.queues[name]

    async def converge(
        self, plan: QueuePlan, tags: Mapping[str, str], gone: Callable[[str], bool] = never
    ) -> Provisioned:
        """Make or correct both queues."""
        self._call("converge")
        by_name = {
            plan.dead_letter_name: plan.settings(None),
            plan.name: plan.settings(self.arn(plan.dead_letter_name)),
        }
        both = Provisioned(
            url=plan.url or self.url(plan.name), dead_letter_url=self.url(plan.dead_letter_name)
        )
        for name in by_name:
            self._check(name)
            if name not in self.queues and not plan.create:
                raise _error(name, QueueFault.MISSING)
        if not plan.create:
            return both
        for name in by_name:
            owner = self.queues[name].tags.get(OWNER_TAG) if name in self.queues else None
            if owner is not None and owner != tags.get(OWNER_TAG, owner) and not gone(owner):
                raise _error(name, QueueFault.FOREIGN)
        created = tuple(name for name in by_name if name not in self.queues)
        corrected: list[Correction] = []
        for name, settings in by_name.items():
            state = self.queues.setdefault(name, MemoryQueueState(settings))
            corrected += _corrections(name, state.settings, settings)
            state.settings = settings
            state.tags.update(tags)
        return replace(both, created=created, corrected=tuple(corrected))

    async def read(self, url: str, *, with_settings: bool = False) -> QueueReading:
        """Return counts and settings."""
        self._call("read")
        state = self._get(url)
        return QueueReading(state.counts, replace(state.settings) if with_settings else None)

    async def dead_letters(self, url: str) -> int:
        """Return all messages."""
        self._call("dead_letters")
        return self._get(url).counts.total

    async def messages(self, plan: QueuePlan, owner: str) -> int:
        """Add up all counts of what is the owner's."""
        self._call("messages")
        return sum(self.queues[name].counts.total for name in self._owned(plan, owner))

    async def delete(self, plan: QueuePlan, owner: str) -> tuple[str, ...]:
        """Delete what is the owner's."""
        self._call("delete")
        owned = self._owned(plan, owner)
        for name in owned:
            del self.queues[name]
        return owned

    def _owned(self, plan: QueuePlan, owner: str) -> tuple[str, ...]:
        names = (plan.name, plan.dead_letter_name)
        for name in names:
            self._check(name)
        return tuple(
            name for name in names if name in self.queues and self.queues[name].tags.get(OWNER_TAG) == owner
        )


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _error(name: str, fault: QueueFault) -> QueueAdminError:
    return QueueAdminError(f"the queue {name!r}: {fault.value}", queue=name, fault=fault)


def _corrections(name: str, was: QueueSettings, now: QueueSettings) -> list[Correction]:
    before, after = asdict(was), asdict(now)
    changed = {
        _ATTRIBUTES[each]: (before[each], value)
        for each, value in after.items()
        if value is not None and before[each] != value
    }
    return [
        Correction(name, attribute, None if old is None else str(old), str(new))
        for attribute, (old, new) in changed.items()
    ]
