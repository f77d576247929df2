"""One world of the model, and every move that can be made in it.

A move is a line of text (`step w1.apply`), so that whoever explores writes down what it did, and a
run that failed can be kept and made again. A move for which there is nothing to do does nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from jobqueue_api.problems import Problem
from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.job import Job, Phase
from jobqueue_core.domain.redrives import Redrive
from jobqueue_core.domain.submission import Submission
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_testsupport.model.clock import ModelClock
from jobqueue_testsupport.model.gates import Fault, Half, Parked
from jobqueue_testsupport.model.loop import QuietLoop
from jobqueue_testsupport.model.processes import (
    KINDS,
    QUEUE,
    VISIBILITY_SECONDS,
    ApiProcess,
    Outside,
    Process,
    WorkerProcess,
)
from jobqueue_testsupport.model.queue import ModelQueue
from jobqueue_testsupport.model.records import ViolationError
from jobqueue_testsupport.model.service import Answer, Call, Service
from jobqueue_testsupport.model.witness import Witness, demand

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Sequence

# More steps than any process takes before it waits for something else.
_FLOW_MAX = 200
# Slower than this is not prompt.
_PROMPT_SECONDS = 0.5


class World:
    """Store, queue, service, clock, and every process on them."""

    def __init__(self, names: Sequence[str] = tuple(KINDS)) -> None:
        """Start processes, all of them unless some are named, and let them come to rest."""
        random.seed(0)  # the backoff's jitter
        self.loop = QuietLoop()
        self.clock = ModelClock()
        self.witness = Witness(self.clock)
        self.store = MemoryJobStore()
        self.queue = ModelQueue(QUEUE, self.clock, VISIBILITY_SECONDS, self.witness)
        self.service = Service(self._called)
        self._outside = Outside(
            loop=self.loop,
            clock=self.clock,
            store=self.store,
            queue=self.queue,
            service=self.service,
            witness=self.witness,
        )
        self.processes: dict[str, Process] = {}
        self._names = names
        self._starts = 0
        self._redrives = 0
        self._requests: list[asyncio.Task[Any]] = []
        self.accepted: set[str] = set()
        # Jobs whose message the queue has lost: only the audit can tell.
        self.robbed: set[str] = set()
        # What clients asked for and what they were told was done, by action and job.
        self.asked: Counter[tuple[str, str]] = Counter()
        self.granted: Counter[tuple[str, str]] = Counter()
        self.moves: list[str] = []
        for name in names:
            self._start(name)

    def _called(self, call: Call) -> None:
        with self.witness.watching():
            self.witness.saw_call(call)

    def close(self) -> None:
        """Kill everything."""
        for process in self.processes.values():
            process.kill()
        self.loop.close()

    # What can be chosen

    @property
    def dead(self) -> list[str]:
        """Names of processes that do not run."""
        return [name for name in self._names if name not in self.processes]

    @property
    def alive(self) -> list[str]:
        """Names of processes that run."""
        return [name for name in self._names if name in self.processes]

    @property
    def choices(self) -> list[str]:
        """Every call that could take its next step, as moves name them."""
        return list(self.halves)

    @property
    def halves(self) -> dict[str, Half]:
        """The same, and which step it is."""
        return {
            f"{name}.{parked.name}{f'#{number}' if number else ''}": parked.half
            for name in self.alive
            for parked, number in _numbered(self.processes[name].parked)
        }

    @property
    def jobs(self) -> list[Job]:
        """Every stored job, the oldest first."""
        return list(self.store.jobs.values())

    @property
    def state(self) -> int:
        """A digest that is the same in two worlds in which the same can happen from now on."""
        processes = [
            (process.id, process.known, [(parked.name, parked.half) for parked in process.parked])
            for process in self.processes.values()
        ]
        calls = [(call.number, call.job_id, call.token, call.given.done()) for call in self.service.calls]
        text = repr((self.clock.monotonic(), self.jobs, self.queue.state, processes, calls))
        for number, job_id in enumerate(self.store.jobs):
            text = text.replace(job_id, str(number))
        return hash(text)

    # Moves

    def move(self, text: str) -> bool:
        """Make a move and check the world; return whether there was anything to do."""
        verb, *words = text.split()
        self.moves.append(text)
        done: bool = getattr(self, f"move_{verb}")(*words)
        if done:
            self.check()
        else:
            self.moves.pop()
        return done

    def move_submit(self, *words: str) -> bool:
        """`submit [attempts=N] [delay=SECONDS] [key=KEY]`: a client submits a job."""
        options = dict(word.split("=") for word in words)
        api = self.processes.get("api")
        if not isinstance(api, ApiProcess):
            return False
        submission = Submission(
            queue=QUEUE,
            max_attempts=int(options["attempts"]) if "attempts" in options else None,
            delay_seconds=float(options["delay"]) if "delay" in options else None,
            idempotency_key=options.get("key"),
        )
        return self._request(api, self._submitted(api, submission))

    async def _submitted(self, api: ApiProcess, submission: Submission) -> None:
        try:
            answer = await api.parts.submissions.submit(submission)
        except StoreUnavailableError:
            return
        self.accepted.add(answer.job.id)

    def move_cancel(self, number: str) -> bool:
        """`cancel N`: a client cancels the N-th job."""
        return self._act("cancel", number)

    def move_retry(self, number: str) -> bool:
        """`retry N`: a client has the N-th job run again."""
        return self._act("retry", number)

    def move_redrive(self) -> bool:
        """`redrive`: a client has every failed job run again; the relays do it."""
        if not self.jobs:
            return False
        now = self.clock.now()
        self.asked.update(("retry", job.id) for job in self.jobs)
        self._redrives += 1
        task = Redrive(id=f"redrive-{self._redrives}", queue=QUEUE, created_at=now, updated_at=now)
        self.loop.start(set(), self._outside.redrives.create(task))
        self.loop.settle()
        return True

    def _act(self, action: str, number: str) -> bool:
        api = self.processes.get("api")
        if not isinstance(api, ApiProcess) or not self.jobs:
            return False
        job = self.jobs[int(number) % len(self.jobs)]

        async def acting() -> None:
            try:
                await getattr(api.parts.actions, action)(job.id)
            except (Problem, StoreUnavailableError):
                return
            self.granted[action, job.id] += 1

        self.asked[action, job.id] += 1
        return self._request(api, acting())

    def _request(self, api: ApiProcess, doing: Coroutine[Any, Any, None]) -> bool:
        self._requests.append(api.request(doing))
        return True

    def move_step(self, which: str) -> bool:
        """`step PROCESS.CALL[#N]`: a call takes its next step."""
        return self.move_fail(which, "")

    def move_fail(self, which: str, how: str) -> bool:
        """`fail PROCESS.CALL[#N] FAULT`: a call takes its next step, and it goes wrong."""
        found = self._find(which)
        if found is None:
            return False
        process, parked = found
        if how:
            self.witness.is_calm = False
        process.let(parked, Fault(how) if how else None)
        return True

    def _find(self, which: str) -> tuple[Process, Parked] | None:
        name, _, call = which.partition(".")
        call, _, number = call.partition("#")
        process = self.processes.get(name)
        if process is None:
            return None
        found = [parked for parked in process.parked if parked.name == call][int(number or 0) :]
        return (process, found[0]) if found else None

    def move_flow(self, name: str, to: str = "", call: str = "") -> bool:
        """`flow PROCESS [to CALL]`: it goes on until it waits for others, or would make the call."""
        process = self.processes.get(name)
        if process is None or to not in ("", "to"):
            return False
        steps = 0
        while process.parked:
            if any(parked.name == call and parked.half is Half.EFFECT for parked in process.parked):
                break
            process.let(process.parked[0])
            self.check()
            steps += 1
            demand(steps < _FLOW_MAX, f"{name} never comes to rest")
        return steps > 0

    def move_answer(self, number: str, how: str) -> bool:
        """`answer N ANSWER`: the service answers the N-th open call."""
        calls = self.open_calls
        if not calls:
            return False
        call = calls[int(number) % len(calls)]
        self.witness.saw_answer(call, Answer(how))
        call.given.set_result(Answer(how))
        self.loop.settle()
        return True

    @property
    def open_calls(self) -> list[Call]:
        """Calls that the service has not answered, and for whose answer somebody waits."""
        return self.service.open

    def move_crash(self, name: str) -> bool:
        """`crash PROCESS`: it is killed."""
        process = self.processes.pop(name, None)
        if process is None:
            return False
        self.witness.is_calm = False
        process.kill()
        return True

    def move_start(self, name: str) -> bool:
        """`start PROCESS`: it is started anew."""
        if name in self.processes:
            return False
        self._start(name)
        return True

    def _start(self, name: str) -> None:
        self._starts += 1
        self.processes[name] = KINDS[name](name, self._starts, self._outside)

    def move_stop(self, name: str) -> bool:
        """`stop PROCESS`: a worker gets SIGTERM; the second one makes it hurry."""
        process = self.processes.get(name)
        if not isinstance(process, WorkerProcess):
            return False
        process.stop()
        return True

    def move_advance(self, seconds: str) -> bool:
        """`advance SECONDS`: time passes, and whoever is at a gate stands still meanwhile."""
        if self.choices or (self.open_calls and float(seconds) > _PROMPT_SECONDS):
            self.witness.is_calm = False
        self._pass_time(float(seconds))
        return True

    def _pass_time(self, seconds: float) -> None:
        self.clock.pass_time(seconds, self.loop.settle)
        self.loop.settle()

    def move_live(self, seconds: str) -> bool:
        """`live SECONDS`: time passes, and everybody is prompt."""
        end = self.clock.monotonic() + float(seconds)
        while True:
            for name in self.alive:
                self.move_flow(name)
            left = end - self.clock.monotonic()
            if not self.choices and left <= 0:
                return True
            self._pass_time(min(_PROMPT_SECONDS, max(0.0, left)))

    def move_redeliver(self, number: str) -> bool:
        """`redeliver N`: the queue shows the N-th hidden message again."""
        self.witness.is_calm = False
        return self.queue.redeliver(int(number))

    def move_lose(self, number: str) -> bool:
        """`lose N`: the queue loses the N-th message."""
        job_id = self.queue.lose(int(number))
        if job_id is None:
            return False
        self.witness.is_calm = False
        self.robbed.add(job_id)
        return True

    def move_rotate(self, times: str = "1") -> bool:
        """`rotate N`: the queue puts its N oldest messages last."""
        return sum(self.queue.rotate() for _ in range(int(times))) > 0

    # What holds after each move

    def check(self) -> None:
        """Check what holds at any time."""
        if self.witness.violation is not None:
            raise self.witness.violation
        for name, process in tuple(self.processes.items()):
            if process.fault is not None:
                raise ViolationError(process.fault)
            if process.has_ended:
                process.kill()
                del self.processes[name]
        for request in self._requests:
            if request.done() and not request.cancelled():
                request.result()
        self._requests = [request for request in self._requests if not request.done()]
        demand(not self.loop.faults, f"a task failed unseen: {self.loop.faults}")
        demand(self.accepted <= self.store.jobs.keys(), "an accepted job does not exist")
        carried = set(self.queue.job_ids)
        self.robbed -= carried
        for job in self.jobs:
            if job.due_at is None and not job.phase.is_final and job.id not in self.robbed:
                demand(job.phase is not Phase.SCHEDULED, "a scheduled job that nobody will look at", job.id)
                demand(job.id in carried, f"a {job.phase} job without message that nobody looks at", job.id)


def _numbered(parked: list[Parked]) -> list[tuple[Parked, int]]:
    seen: dict[str, int] = {}
    numbered = []
    for one in parked:
        number = seen.get(one.name, 0)
        seen[one.name] = number + 1
        numbered.append((one, number))
    return numbered
