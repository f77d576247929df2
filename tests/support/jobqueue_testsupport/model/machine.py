"""Explores the model: hypothesis chooses among the moves, and writes down those that it made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from jobqueue_core.domain.job import Phase
from jobqueue_testsupport.model.ending import bring_to_rest
from jobqueue_testsupport.model.gates import Fault
from jobqueue_testsupport.model.processes import KINDS
from jobqueue_testsupport.model.records import ViolationError
from jobqueue_testsupport.model.service import Answer
from jobqueue_testsupport.model.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

_JOBS_MAX = 3
# Moments that matter: a batch's linger, a relay's look, its grace, a lease, an audit, a long Retry-After.
_TIMES = [
    "advance 0.3",
    "advance 1",
    "advance 6",
    "advance 21",
    "advance 61",
    "advance 1201",
    "live 0.5",
    "live 3",
    "live 31",
]
_DEATHS = ["crash", "crash", "stop"]
_DELIVERIES = ["redeliver", "redeliver", "rotate", "lose"]
_WISHES = ["cancel", "retry"]

numbers = st.integers(0, 11)
processes = st.sampled_from(list(KINDS))


class Exploration(RuleBasedStateMachine):
    """Any order of steps, faults, deaths, deliveries and wishes of clients; then the accounts are closed."""

    def __init__(self) -> None:
        """Begin in a world at rest."""
        super().__init__()
        self.world = World()
        self._has_failed = False

    def _move(self, text: str) -> None:
        try:
            self.world.move(text)
        except ViolationError as violation:
            self._fail(violation)
            raise

    def _fail(self, violation: ViolationError) -> None:
        self._has_failed = True
        note(f"{violation}:\n{self.world.moves!r}")

    def teardown(self) -> None:
        """Bring the world to rest, unless it is broken already."""
        try:
            if not self._has_failed:
                bring_to_rest(self.world)
        except ViolationError as violation:
            self._fail(violation)
            raise
        finally:
            self.world.close()

    @precondition(lambda self: len(self.world.jobs) < _JOBS_MAX)
    @rule(options=st.sampled_from(["", " attempts=1", " attempts=2", " delay=5", " key=k"]))
    def submit(self, options: str) -> None:
        self._move(f"submit{options}")

    @precondition(lambda self: self.world.choices)
    @rule(number=numbers, times=st.integers(1, 3))
    def step(self, number: int, times: int) -> None:
        for _ in range(times):
            for which in self._chosen(number):
                self._move(f"step {which}")

    @precondition(lambda self: self.world.choices)
    @rule(number=numbers, fault=st.sampled_from(Fault))
    def fail(self, number: int, fault: Fault) -> None:
        for which in self._chosen(number):
            self._move(f"fail {which} {fault}")

    def _chosen(self, number: int) -> Iterator[str]:
        choices = self.world.choices
        if choices:
            yield choices[number % len(choices)]

    @precondition(lambda self: self.world.choices)
    @rule(
        name=processes, to=st.sampled_from(["", "", " to apply", " to offer", " to send", " to dead_letter"])
    )
    def flow(self, name: str, to: str) -> None:
        self._move(f"flow {name}{to}")

    @precondition(lambda self: self.world.open_calls)
    @rule(number=numbers, answer=st.sampled_from(Answer))
    def answer(self, number: int, answer: Answer) -> None:
        self._move(f"answer {number} {answer}")

    @rule(how=st.sampled_from(_TIMES))
    def wait(self, how: str) -> None:
        self._move(how)

    @rule(what=st.sampled_from(_DEATHS), name=processes)
    def kill(self, what: str, name: str) -> None:
        self._move(f"{what} {name}")

    @precondition(lambda self: self.world.dead)
    @rule(number=numbers)
    def start(self, number: int) -> None:
        self._move(f"start {self.world.dead[number % len(self.world.dead)]}")

    @precondition(lambda self: self.world.queue.bodies)
    @rule(what=st.sampled_from(_DELIVERIES), number=numbers)
    def deliver(self, what: str, number: int) -> None:
        self._move(f"{what} {number}")

    @precondition(lambda self: any(job.phase is Phase.FAILED for job in self.world.jobs))
    @rule()
    def redrive(self) -> None:
        self._move("redrive")

    @precondition(lambda self: self.world.jobs)
    @rule(what=st.sampled_from(_WISHES), number=numbers, times=st.integers(1, 2))
    def wish(self, what: str, number: int, times: int) -> None:
        for _ in range(times):
            self._move(f"{what} {number}")
