"""Every order in which the steps of some processes can fall, from a given situation on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_testsupport.model.ending import bring_to_rest
from jobqueue_testsupport.model.gates import Half
from jobqueue_testsupport.model.processes import KINDS
from jobqueue_testsupport.model.records import ViolationError
from jobqueue_testsupport.model.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

# Whatever else is left lies still until the race is over.
_ALWAYS = ("api", "relay1", "w1")


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a race begins.

    Attributes:
        name: what it is about.
        before: the moves that lead there.
        racers: the processes whose steps are tried in every order.
        once: moves that may fall anywhere in between, each of them once.
        still: calls that nobody makes during the race.

    """

    name: str
    before: Sequence[str]
    racers: Sequence[str]
    once: Sequence[str] = ()
    still: Sequence[str] = ()


def explore(situation: Situation, *, deaths: bool = True) -> int:
    """Try every order, and after each step the death of who made it; return the number of states.

    Orders that lead to one state are followed only once: a process goes by nothing but what it was told.
    An answer changes nothing for the others, so it is not tried before and after their steps.

    Raises:
        ViolationError: a promise was broken; its note has the moves.

    """
    seen: set[tuple[int, frozenset[str]]] = set()
    branches: list[list[str]] = [[]]
    while branches:
        _follow(situation, branches.pop(), branches, seen, deaths=deaths)
    return len(seen)


def _follow(
    situation: Situation,
    moves: list[str],
    branches: list[list[str]],
    seen: set[tuple[int, frozenset[str]]],
    *,
    deaths: bool,
) -> None:
    """Go on from a branch until nothing is left to do, noting the branches not taken."""
    world = World([name for name in KINDS if name in (*_ALWAYS, *situation.racers)])
    try:
        for move in (*situation.before, *moves):
            world.move(move)
        while not (moves and moves[-1].startswith("crash")):
            state = (world.state, frozenset(moves).intersection(situation.once))
            if state in seen:
                return
            seen.add(state)
            if deaths and moves and moves[-1].startswith("step"):
                branches.append([*moves, f"crash {moves[-1].split()[1].partition('.')[0]}"])
            following = _following(situation, world, moves)
            if not following:
                break
            branches += [[*moves, move] for move in following[1:]]
            moves = [*moves, following[0]]
            world.move(following[0])
        bring_to_rest(world)
    except ViolationError as violation:
        violation.add_note(f"{situation.name}: {world.moves!r}")
        raise
    finally:
        world.close()


def _following(situation: Situation, world: World, moves: Sequence[str]) -> list[str]:
    once = [move for move in situation.once if move not in moves]
    steps = [
        (f"step {which}", half)
        for which, half in world.halves.items()
        if which.partition(".")[0] in situation.racers and which.partition(".")[2] not in situation.still
    ]
    answers = [step for step, half in steps if half is Half.ANSWER]
    if answers and not any(move.startswith(("advance", "stop")) for move in once):
        return answers[:1]
    return [step for step, _ in steps] + once
