"""What the operator does to the queues of SQS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from jobqueue_core.adapters.sqs.attributes import (
    COUNTS,
    SETTINGS,
    corrections,
    counts_from,
    creation_attributes,
    settings_from,
)
from jobqueue_core.adapters.sqs.faults import admin_error
from jobqueue_core.domain.errors import QueueUnavailableError
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
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from types_aiobotocore_sqs.literals import QueueAttributeNameType

    from jobqueue_core.adapters.sqs.client import SqsConnection
    from jobqueue_core.ports.queue_admin import QueuePlan, QueueSettings

# A poll that takes longer than polls are apart is of no use.
_READ_SECONDS = 5.0
_CALL_SECONDS = 10.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Found:
    """A queue that is there."""

    url: str
    attributes: Mapping[QueueAttributeNameType, str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A queue that is as it shall be."""

    url: str
    is_new: bool
    corrected: tuple[Correction, ...]


class SqsQueueAdmin:
    """Implements the port `QueueAdmin`."""

    def __init__(self, connection: SqsConnection) -> None:
        """Use an open connection."""
        self._connection = connection

    async def converge(
        self, plan: QueuePlan, tags: Mapping[str, str], gone: Callable[[str], bool] = never
    ) -> Provisioned:
        """Look at both queues, then write what differs: at rest six requests, none of them a write."""
        if not plan.create:
            url, dead_letter_url = await asyncio.gather(
                self._must_find(plan.name, plan.url), self._must_find(plan.dead_letter_name)
            )
            return Provisioned(url=url, dead_letter_url=dead_letter_url)
        found, found_dead = await asyncio.gather(
            self._look(plan.name, plan.url), self._look(plan.dead_letter_name)
        )
        for name, seen in ((plan.name, found), (plan.dead_letter_name, found_dead)):
            _refuse_foreign(name, seen, tags, gone)
        dead = await self._keep(plan.dead_letter_name, found_dead, plan.settings(None), tags, fifo=plan.fifo)
        arn = found_dead.attributes["QueueArn"] if found_dead else await self._arn(dead.url)
        kept = await self._keep(plan.name, found, plan.settings(arn), tags, fifo=plan.fifo)
        named = ((plan.dead_letter_name, dead), (plan.name, kept))
        return Provisioned(
            url=kept.url,
            dead_letter_url=dead.url,
            created=tuple(name for name, each in named if each.is_new),
            corrected=(*dead.corrected, *kept.corrected),
        )

    async def read(self, url: str, *, with_settings: bool = False) -> QueueReading:
        """Make one request, in which settings cost nothing more."""
        names = (*COUNTS, *SETTINGS) if with_settings else COUNTS
        attributes = await self._attributes(url, names, _READ_SECONDS)
        return QueueReading(counts_from(attributes), settings_from(attributes) if with_settings else None)

    async def dead_letters(self, url: str) -> int:
        """Read the counts: those that somebody looks at are there as well."""
        return counts_from(await self._attributes(url, COUNTS, _READ_SECONDS)).total

    async def messages(self, plan: QueuePlan, owner: str) -> int:
        """Look at each queue's tags, and add up all counts."""

        async def count(url: str) -> int:
            return (await self.read(url)).counts.total

        return sum(await self._of_each_owned(plan, owner, count))

    async def delete(self, plan: QueuePlan, owner: str) -> tuple[str, ...]:
        """Look at each queue's tags before it is deleted."""

        async def delete(url: str) -> str:
            call = self._connection.client.delete_queue(QueueUrl=url)
            await self._ask(_name(url), "delete_queue", call)
            return _name(url)

        return tuple(await self._of_each_owned(plan, owner, delete))

    async def _of_each_owned(
        self, plan: QueuePlan, owner: str, act: Callable[[str], Awaitable[Answer]]
    ) -> list[Answer]:
        """Return what an act on each queue gives, without those that are gone or another's."""
        answers: list[Answer] = []
        for name, given in ((plan.name, plan.url), (plan.dead_letter_name, None)):
            try:
                url = await self._must_find(name, given)
                if (await self._tags(url)).get(OWNER_TAG) == owner:
                    answers.append(await act(url))
            except QueueAdminError as error:
                if error.fault is not QueueFault.MISSING:
                    raise
        return answers

    async def _must_find(self, name: str, url: str | None = None) -> str:
        if url is not None:
            return url
        answer = await self._ask(name, "get_queue_url", self._connection.client.get_queue_url(QueueName=name))
        return answer["QueueUrl"]

    async def _look(self, name: str, url: str | None = None) -> _Found | None:
        if url is None:
            try:
                url = await self._must_find(name)
            except QueueAdminError as error:
                if error.fault is QueueFault.MISSING:
                    return None
                raise
        attributes, tags = await asyncio.gather(
            self._attributes(url, (*SETTINGS, "QueueArn"), _CALL_SECONDS), self._tags(url)
        )
        return _Found(url, attributes, tags)

    async def _keep(
        self,
        name: str,
        found: _Found | None,
        wanted: QueueSettings,
        tags: Mapping[str, str],
        *,
        fifo: bool,
    ) -> _Kept:
        """Create the queue, or correct what was found of it."""
        client = self._connection.client
        if found is None:
            create = client.create_queue(
                QueueName=name, Attributes=creation_attributes(wanted, fifo=fifo), tags=tags
            )
            answer = await self._ask(name, "create_queue", create)
            return _Kept(answer["QueueUrl"], is_new=True, corrected=())
        corrected = corrections(name, wanted, found.attributes)
        if corrected:
            attributes = {each.attribute: each.now for each in corrected}
            change = client.set_queue_attributes(QueueUrl=found.url, Attributes=attributes)  # type: ignore[arg-type] # names of attributes
            await self._ask(name, "set_queue_attributes", change)
        missing_tags = {key: value for key, value in tags.items() if found.tags.get(key) != value}
        if missing_tags:
            tag = client.tag_queue(QueueUrl=found.url, Tags=missing_tags)
            await self._ask(name, "tag_queue", tag)
        return _Kept(found.url, is_new=False, corrected=corrected)

    async def _arn(self, url: str) -> str:
        return (await self._attributes(url, ("QueueArn",), _CALL_SECONDS))["QueueArn"]

    async def _tags(self, url: str) -> Mapping[str, str]:
        call = self._connection.client.list_queue_tags(QueueUrl=url)
        return (await self._ask(_name(url), "list_queue_tags", call)).get("Tags", {})

    async def _attributes(
        self, url: str, names: Sequence[QueueAttributeNameType], timeout_seconds: float
    ) -> Mapping[QueueAttributeNameType, str]:
        call = self._connection.client.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        answer = await self._ask(_name(url), "get_queue_attributes", call, timeout_seconds)
        return answer.get("Attributes", {})

    async def _ask(
        self,
        queue: str,
        operation: str,
        call: Awaitable[Answer],
        timeout_seconds: float = _CALL_SECONDS,
    ) -> Answer:
        try:
            return await self._connection.call(operation, call, timeout_seconds)
        except QueueUnavailableError as error:
            raise admin_error(queue, error) from error


def _name(url: str) -> str:
    """SQS: a queue's URL ends in its name."""
    return url.rpartition("/")[2]


def _refuse_foreign(
    name: str, found: _Found | None, tags: Mapping[str, str], gone: Callable[[str], bool]
) -> None:
    owner = None if found is None else found.tags.get(OWNER_TAG)
    if owner is not None and owner != tags.get(OWNER_TAG, owner) and not gone(owner):
        message = (
            f"the queue {name!r} belongs to {owner} (tag {OWNER_TAG}); name another queue, "
            f"or take the tag away to hand it over"
        )
        raise QueueAdminError(message, queue=name, fault=QueueFault.FOREIGN)
