"""The end of a run: everything works again, time passes, and then every account must be closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.message import decode
from jobqueue_testsupport.model.witness import demand

if TYPE_CHECKING:
    from jobqueue_testsupport.model.world import World

# The longest wait of a job (a Retry-After) in steps of the longest move, and as much again.
_ROUNDS_MAX = 150
_STEP_MAX_SECONDS = 60.0
_STEP_MIN_SECONDS = 0.5


def bring_to_rest(world: World) -> None:
    """Start what is dead, answer what is open, and let time pass until nothing is left to do.

    Raises:
        ViolationError: something never ends, or ends otherwise than promised.

    """
    for _ in range(_ROUNDS_MAX):
        for name in world.dead:
            world.move(f"start {name}")
        while world.open_calls:
            world.move("answer 0 ok")
        world.move("live 0.5")
        if _is_at_rest(world):
            break
        if not world.open_calls:
            world.move(f"advance {_next_step(world)}")
    demand(_is_at_rest(world), f"it never comes to rest: {_left(world)}")
    _check_accounts(world)


def _is_at_rest(world: World) -> bool:
    return not (
        world.open_calls
        or world.queue.bodies
        or any(not job.phase.is_final or job.due_at is not None for job in world.jobs)
    )


def _left(world: World) -> str:
    jobs = [f"{job.phase} job {job.id} (due {job.due_at})" for job in world.jobs if not job.phase.is_final]
    return ", ".join([*jobs, f"messages {world.queue.job_ids}", f"calls {world.choices}"])


def _next_step(world: World) -> float:
    """Return how long nothing can happen, within bounds."""
    now = world.clock.now()
    waits = [(job.due_at - now).total_seconds() for job in world.jobs if job.due_at is not None]
    waits += world.queue.next_visible_in()
    waits = [wait for wait in waits if wait > 0]
    return max(_STEP_MIN_SECONDS, min([_STEP_MAX_SECONDS, *waits]))


def _check_accounts(world: World) -> None:
    witness = world.witness
    letters = {decode(letter.body) for letter in world.queue.dead}
    for job in world.jobs:
        record = witness.records[job.id]
        demand(job.phase.is_final, "an accepted job is not final", job.id)
        demand(record.run.finals == 1, "a job has not exactly one final state", job.id)
        if job.phase is Phase.FAILED:
            demand(record.run.letters >= 1, "a failed job without dead letter", job.id)
            demand(job.id in letters, "the dead letter of a failed job was cleared away", job.id)
            if witness.is_calm:
                demand(record.run.letters == 1, "two dead letters though nothing went wrong", job.id)
        retries = len(record.runs) - 1
        demand(retries <= world.asked["retry", job.id], "a job ran again unasked", job.id)
        demand(retries >= world.granted["retry", job.id], "a granted retry had no effect", job.id)
