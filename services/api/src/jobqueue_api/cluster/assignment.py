"""Which JobQueue has which queue. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobqueue_api.cluster.jobqueue import JobQueue
    from jobqueue_api.wake import JobQueueRef
    from jobqueue_core.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a set of JobQueues comes to.

    Attributes:
        learnt: queues that jobs may name beyond those of the settings, by that name.
        owners: the JobQueue of each queue, by the name of the queue: those of the settings' queues, too.
        targets: whom to wake, likewise; not the suspended.
        refused: JobQueues that have no queue, and why.

    """

    learnt: Mapping[str, JobQueue]
    owners: Mapping[str, JobQueue]
    targets: Mapping[str, JobQueueRef]
    refused: Mapping[JobQueueRef, str]


def configured_queues(settings: Settings) -> dict[str, str]:
    """Return the settings' name of each SQS queue, by its URL where that is set, else by its name."""
    names: dict[str, str] = {}
    for name in settings.queue_names:
        sqs = settings.queue(name).sqs
        names.setdefault(sqs.queue_url or sqs.queue_name, name)
    return names


def assign(jobqueues: Iterable[JobQueue], configured: Mapping[str, str], names: Iterable[str]) -> Assignment:
    """Give each queue to one JobQueue.

    The settings' name of a queue wins over the JobQueue's. Of two JobQueues for one SQS queue or one name the
    older has it, as for the operator; one that is being deleted has it until it is gone.

    Args:
        jobqueues: all there are.
        configured: the settings' name of each SQS queue.
        names: every name that the settings have.

    """
    taken_names = set(names)
    identities: dict[str, JobQueueRef] = {}
    named: dict[str, JobQueueRef] = {}
    learnt: dict[str, JobQueue] = {}
    owners: dict[str, JobQueue] = {}
    targets: dict[str, JobQueueRef] = {}
    refused: dict[JobQueueRef, str] = {}
    for jobqueue in sorted(jobqueues, key=lambda each: each.age):
        setting = configured.get(jobqueue.identity)
        name = setting or jobqueue.jobs
        owner = identities.get(jobqueue.identity) or named.get(name)
        if owner is not None:
            refused[jobqueue.ref] = f"its queue belongs to the older JobQueue {owner}"
            continue
        if setting is None and name in taken_names:
            refused[jobqueue.ref] = f"the settings have another queue that jobs call {name}"
            continue
        identities[jobqueue.identity] = named[name] = jobqueue.ref
        if jobqueue.deleting:
            continue
        owners[name] = jobqueue
        if setting is None:
            learnt[name] = jobqueue
        if not jobqueue.suspended:
            targets[name] = jobqueue.ref
    return Assignment(learnt, owners, targets, refused)
