"""The product with one of its protections taken out: each of these the model has to find."""

# ruff: noqa: ANN401, SLF001 - it reaches into the product to take its parts out
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jobqueue_api.submission.service import Submissions
from jobqueue_core import relay, sender
from jobqueue_core.domain import transitions
from jobqueue_core.domain.job import Lease, Phase
from jobqueue_core.domain.transitions import Guard, Transition, claim_send
from jobqueue_core.testing import store
from jobqueue_worker import claims
from jobqueue_worker.attempts import MessageHandler
from jobqueue_worker.held import Holdings
from jobqueue_worker.settle import Settler

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from jobqueue_core.domain.job import Job


@dataclass(frozen=True, slots=True)
class Mutation:
    """A protection that is missing.

    Attributes:
        name: of the protection.
        take_out: takes it out until the patch is undone.
        shown_by: the situation in which it is missed.

    """

    name: str
    take_out: Callable[[pytest.MonkeyPatch], None]
    shown_by: str


class _Anything:
    """Equal to whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


_ANY: Any = _Anything()


def _token_of_the_guard(patch: pytest.MonkeyPatch) -> None:
    """A write demands the status it read, whoever has written since."""
    patch.setattr(store, "_holds", lambda guard, stored: stored.status is guard.status)


def _guard_of_the_relay(patch: pytest.MonkeyPatch) -> None:
    """The relay takes a job by its id alone."""

    def by_id_alone(*args: Any, **options: Any) -> Transition:
        return replace(claim_send(*args, **options), guard=Guard(_ANY, _ANY))

    patch.setattr(relay, "claim_send", by_id_alone)


def _check_of_the_lease(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks whether somebody else holds the job."""
    patch.setattr(Lease, "is_held", lambda _lease, _now: False)
    patch.setattr(MessageHandler, "_may_call", _always)


async def _always(*_args: object) -> bool:
    return True


def _attempt_before_its_call(patch: pytest.MonkeyPatch) -> None:
    """An attempt is counted when it ends, so that one that dies is not counted."""
    begin, finish = transitions.begin, transitions.finish

    def begun(job: Job, **options: Any) -> Transition:
        transition = begin(job, **options)
        return replace(transition, after=replace(transition.after, attempts=job.attempts))

    def finished(job: Job, *args: Any, **options: Any) -> Transition:
        return finish(replace(job, attempts=job.attempts + 1), *args, **options)

    patch.setattr(claims, "begin", begun)
    patch.setattr("jobqueue_worker.attempts.finish", finished)


def _outcome_before_message(patch: pytest.MonkeyPatch) -> None:
    """A worker settles the message first and writes the outcome down afterwards."""
    record, settle = MessageHandler._record, MessageHandler._settle

    async def recorded(handler: Any, transition: Transition, held: Any) -> bool:
        if transition.after.phase not in (Phase.QUEUED, Phase.RUNNING):
            await settle(handler, transition.after, held)
        return await record(handler, transition, held)

    async def settled(*_args: object) -> None:
        return None

    patch.setattr(MessageHandler, "_record", recorded)
    patch.setattr(MessageHandler, "_settle", settled)


def _job_before_message(patch: pytest.MonkeyPatch) -> None:
    """The API sends the message first and stores the job afterwards."""
    insert = Submissions._insert

    async def inserted(submissions: Any, jobs: list[Job]) -> Any:
        submissions.hand_over(jobs)
        return await insert(submissions, jobs)

    patch.setattr(Submissions, "_insert", inserted)


def _send_before_note(patch: pytest.MonkeyPatch) -> None:
    """The API notes a send before it sends."""
    send = sender.Sender._send

    async def sent(self: Any, jobs: list[Job]) -> Any:
        await self._note(jobs)
        return await send(self, jobs)

    patch.setattr(sender.Sender, "_send", sent)


def _letter_before_note(patch: pytest.MonkeyPatch) -> None:
    """A worker notes a dead letter before it is there."""
    send = Settler.dead_letter_job

    async def noted(self: Any, held: Any, job: Job) -> None:
        await self._store.offer([transitions.note_dead_lettered(job, self._clock.now())])
        await send(self, held, job)

    patch.setattr(Settler, "dead_letter_job", noted)


def _heartbeat(patch: pytest.MonkeyPatch) -> None:
    """A worker extends the messages it holds, and not the leases."""

    async def nothing(*_args: object) -> None:
        return None

    patch.setattr(Holdings, "_extend_leases", nothing)


def _newest_receipt(patch: pytest.MonkeyPatch) -> None:
    """A worker that gets a message again goes on with the receipt of the first time."""
    add = Holdings.add
    first: dict[str, Any] = {}

    def added(holdings: Any, messages: Any) -> Any:
        return add(holdings, [replace(m, receipt=first.setdefault(m.id, m.receipt)) for m in messages])

    patch.setattr(Holdings, "add", added)


def _debt_of_a_new_job(patch: pytest.MonkeyPatch) -> None:
    """A retry by hand leaves it to the API alone to send the message."""
    again = transitions.retry_by_hand

    def unowed(*args: Any, **options: Any) -> Transition:
        transition = again(*args, **options)
        return replace(transition, after=replace(transition.after, due_at=None))

    patch.setattr("jobqueue_api.jobs.actions.retry_by_hand", unowed)


def _end_of_the_lease_in_the_guard(patch: pytest.MonkeyPatch) -> None:
    """Who takes over a lost attempt does not look whether its lease has been extended meanwhile."""

    def without_expiry(before: Job, after: Job, *, with_expiry: bool = False) -> Transition:
        del with_expiry
        return Transition(before, after, Guard(before.status, before.lease.token))

    patch.setattr(transitions, "step", without_expiry)


MUTATIONS = [
    Mutation("token of the guard", _token_of_the_guard, "one message in two workers' hands"),
    Mutation("guard of the relay", _guard_of_the_relay, "a send that is noted late"),
    Mutation("check of the lease", _check_of_the_lease, "one message in two workers' hands"),
    Mutation(
        "end of the lease in the guard",
        _end_of_the_lease_in_the_guard,
        "an outcome that comes after the lease's end",
    ),
    Mutation(
        "attempt counted before its call", _attempt_before_its_call, "one message in two workers' hands"
    ),
    Mutation("outcome before message", _outcome_before_message, "two who pay a dead letter, and a retry"),
    Mutation("job before message", _job_before_message, "a submission and its delivery"),
    Mutation("send before its note", _send_before_note, "a submission and its delivery"),
    Mutation("dead letter before its note", _letter_before_note, "two who pay a dead letter, and a retry"),
    Mutation("heartbeat", _heartbeat, "a long call, and everybody prompt"),
    Mutation("newest receipt", _newest_receipt, "a message that comes twice to one worker"),
    Mutation("debt of a job that is run again", _debt_of_a_new_job, "a cancel against a claim"),
]
