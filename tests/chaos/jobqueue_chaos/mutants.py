"""The product without one of its protections, so that the harness can show that it sees the difference.

Nothing of this is in the product: a process is started through `jobqueue_chaos.mutant`, which takes the
protection out and then runs the product's own main module.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Long enough for a worker to see what is sent too early, or for a kill to hit what is stored too late.
_GAP_SECONDS = 1.5


def _patch(owner: Any, name: str, made: Callable[[Any], Any]) -> None:  # noqa: ANN401 - any part of the product
    """Replace an attribute by what is made of it; one that is gone is an error, no mutant without effect."""
    setattr(owner, name, made(getattr(owner, name)))


def _alone_without(*guards: str) -> None:
    """Have the store write without these parts of the guard."""
    from jobqueue_core.adapters.mongo import store, updates  # noqa: PLC0415 - only in a mutant's process

    def without(update: UpdateOne) -> UpdateOne:
        where = {name: value for name, value in update._filter.items() if name not in guards}  # noqa: SLF001
        return UpdateOne(where, update._doc)  # noqa: SLF001

    def singly(_: Any) -> Any:  # noqa: ANN401
        def to_updates(transitions: Sequence[Any]) -> list[UpdateOne]:
            # One by one: the guards of a common update are part of its fields.
            return [
                without(update)
                for transition in transitions
                for update in original([transition])
                if isinstance(update, UpdateOne)
            ]

        return to_updates

    original = updates.to_updates
    _patch(store, "to_updates", singly)
    # What has landed is judged by the token that was written, which is there now.


def no_token() -> None:
    """Write whoever holds the lease by now."""
    _alone_without("lease.token", "lease.expiresAt")


def relay_by_id() -> None:
    """Write by the id alone, as a rescuer does that looks first and writes later."""
    _alone_without("lease.token", "lease.expiresAt", "status")


def answer_before_insert() -> None:
    """Answer the client and store the job afterwards."""
    from jobqueue_api.submission.service import Submissions  # noqa: PLC0415
    from jobqueue_core.ports.store import Inserted  # noqa: PLC0415

    pending: set[asyncio.Task[Any]] = set()

    def made(insert: Any) -> Any:  # noqa: ANN401
        async def late(self: Any, jobs: list[Any]) -> None:  # noqa: ANN401
            await asyncio.sleep(_GAP_SECONDS)
            await insert(self, jobs)

        async def at_once(self: Any, jobs: list[Any]) -> list[Any]:  # noqa: ANN401
            task = asyncio.create_task(late(self, jobs))
            pending.add(task)
            task.add_done_callback(pending.discard)
            return [Inserted(job, created=True) for job in jobs]

        return at_once

    _patch(Submissions, "_insert", made)


def send_before_insert() -> None:
    """Send the message and store the job afterwards."""
    from jobqueue_api.submission.service import Submissions  # noqa: PLC0415

    def made(insert: Any) -> Any:  # noqa: ANN401
        async def sent_first(self: Any, jobs: list[Any]) -> Any:  # noqa: ANN401
            self.hand_over(jobs)
            await asyncio.sleep(_GAP_SECONDS)
            return await insert(self, jobs)

        return sent_first

    _patch(Submissions, "_insert", made)


def settle_before_record() -> None:
    """Send the dead letter and settle the message before the outcome is recorded."""
    from jobqueue_worker.attempts import MessageHandler  # noqa: PLC0415

    def made(record: Any) -> Any:  # noqa: ANN401
        async def settled_first(self: Any, transition: Any, held: Any) -> Any:  # noqa: ANN401
            if transition.after.phase.is_final:
                await self._settle(transition.after, held)
                await asyncio.sleep(_GAP_SECONDS)
            return await record(self, transition, held)

        return settled_first

    _patch(MessageHandler, "_record", made)


def no_heartbeat() -> None:
    """Extend neither visibility nor leases."""
    from jobqueue_worker.held import Holdings  # noqa: PLC0415

    async def never(_self: Any) -> None:  # noqa: ANN401
        await asyncio.Event().wait()

    _patch(Holdings, "keep", lambda _: never)


def stale_receipt() -> None:
    """Keep the receipt of a message's first delivery for all that follow."""
    from jobqueue_worker.held import Holdings  # noqa: PLC0415

    first: dict[str, str] = {}

    def made(add: Any) -> Any:  # noqa: ANN401
        def with_first(self: Any, messages: Sequence[Any]) -> Any:  # noqa: ANN401
            return add(
                self, [replace(one, receipt=first.setdefault(one.id, one.receipt)) for one in messages]
            )

        return with_first

    _patch(Holdings, "add", made)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A protection, and how it is taken out."""

    protection: str
    apply: Callable[[], None]


MUTANTS = {
    "no-token": Mutant("token check", no_token),
    "answer-before-insert": Mutant("outbox order: stored, then answered", answer_before_insert),
    "send-before-insert": Mutant("outbox order: stored, then sent", send_before_insert),
    "settle-before-record": Mutant("outbox order: outcome recorded, then settled", settle_before_record),
    "no-heartbeat": Mutant("heartbeat", no_heartbeat),
    "stale-receipt": Mutant("receipt handle freshness", stale_receipt),
    "relay-by-id": Mutant("relay guard", relay_by_id),
}
