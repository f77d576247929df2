"""Ten workers in five processes that share the limits of one external service."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.figures import BenchError, Figure, Section
from bench.processes import module
from bench.stack import Stack, opened_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

PROCESSES = 5
WORKERS = 10
_TOLERANCE = 0.05
_SPAN_SECONDS = 10.0
# Processes start one after the other, and the first calls are of the burst.
_SETTLE_SECONDS = 2.0
_START_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One limit under one load.

    Attributes:
        slots: of each worker.
        kills: end one of the processes by SIGKILL in the middle of the span.

    """

    name: str
    per_second: float | None = None
    concurrent: int | None = None
    slots: int = 10
    call_seconds: float = 0.1
    kills: bool = False


@dataclass(frozen=True, slots=True)
class Calls:
    """What the service has seen: begins and ends of calls, and from when on they are judged."""

    moments: Sequence[tuple[float, int, str]]
    start: float

    def begun(self, start: float, seconds: float) -> int:
        """Return how many calls began within a span."""
        return sum(1 for at, sign, _ in self.moments if sign > 0 and start <= at < start + seconds)

    def per_second(self) -> list[int]:
        """Return how many began in each whole second of the span."""
        return [self.begun(self.start + second, 1.0) for second in range(int(_SPAN_SECONDS))]

    def worst_span(self, seconds: float) -> int:
        """Return the most calls that began within any span of that length."""
        begins = [at for at, sign, _ in self.moments if sign > 0]
        most, first = 0, 0
        for position, at in enumerate(begins):
            while begins[first] <= at - seconds:
                first += 1
            most = max(most, position - first + 1)
        return most

    def at_once(self) -> int:
        """Return the most calls that were under way at a time, those of a killed process to its end."""
        most = now = 0
        for _, sign, _ in self.moments:
            now += sign
            most = max(most, now)
        return most

    def mean_at_once(self) -> float:
        """Return the mean number of calls under way within the span."""
        end, total, now, last = self.start + _SPAN_SECONDS, 0.0, 0, self.start
        for at, sign, _ in self.moments:
            if at >= end:
                break
            if at > last:
                total += now * (at - last)
                last = at
            now += sign
        return (total + now * (end - last)) / _SPAN_SECONDS

    def shares(self) -> dict[str, int]:
        """Return how many calls of the span each worker began."""
        end = self.start + _SPAN_SECONDS
        counts: dict[str, int] = {}
        for at, sign, worker in self.moments:
            if sign > 0 and self.start <= at < end:
                counts[worker] = counts.get(worker, 0) + 1
        return counts


async def measure(*, quick: bool) -> Section:
    """Measure rates, a rate while a process is killed, and a concurrency limit.

    Raises:
        BenchError: something could not be run.

    """
    cases = [
        Case(name="50 a second", per_second=50),
        Case(name="200 a second", per_second=200),
        Case(name="200 a second, a process killed", per_second=200, kills=True),
        Case(name="20 at a time", concurrent=20, call_seconds=0.1),
        Case(name="3 at a time", concurrent=3, call_seconds=0.1),
    ]
    figures: list[Figure] = []
    details: dict[str, object] = {}
    async with opened_stack() as stack:
        for case in cases[:2] if quick else cases:
            calls, requests = await _run(stack, case)
            figures.append(_figure(case, calls, requests))
            details[case.name] = _details(case, calls, requests)
    return Section(name="flow", figures=tuple(figures), details=details)


async def _run(stack: Stack, case: Case) -> tuple[Calls, dict[str, int]]:
    with tempfile.TemporaryDirectory(prefix="jobqueue-bench-flow-") as folder:
        witness = Path(folder) / "calls"
        names = [f"worker-{number}" for number in range(WORKERS)]
        seconds = _START_SECONDS + _SETTLE_SECONDS + _SPAN_SECONDS
        limits = {"--per-second": case.per_second, "--concurrent": case.concurrent}
        command = module(
            "bench.flow_calls",
            *("--uri", stack.mongo_uri, "--database", f"flow-{case.name.replace(' ', '-').replace(',', '')}"),
            *("--witness", str(witness), "--slots", str(case.slots), "--seconds", str(seconds)),
            *("--call-seconds", str(case.call_seconds)),
            *(text for name, value in limits.items() if value is not None for text in (name, str(value))),
        )
        share = WORKERS // PROCESSES
        groups = [names[start : start + share] for start in range(0, WORKERS, share)]
        running = [
            asyncio.create_task(
                stack.processes.answer(f"calls {number}", [*command, "--workers", *group], stack.plain_env)
            )
            for number, group in enumerate(groups)
        ]
        start = await _all_calling(witness, names) + _SETTLE_SECONDS
        killed = await _kill(stack, start) if case.kills else None
        answers = await asyncio.gather(*running, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if len(failed) > (killed is not None):
            raise BenchError(str(failed[0]))
        requests = {
            name: sum(cast("int", answer[name]) for answer in answers if isinstance(answer, dict))
            for name in ("loads", "swaps", "lost")
        }
        return Calls(_read(witness, groups[0] if killed else (), killed or 0.0), start), requests


async def _all_calling(witness: Path, names: Sequence[str]) -> float:
    """Return the moment at which every worker has begun a call, or the time for it is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_SECONDS
    while loop.time() < deadline:
        text = await asyncio.to_thread(_text, witness)
        if all(f" {name}\n" in text for name in names):
            break
        await asyncio.sleep(0.05)
    return loop.time()


def _text(witness: Path) -> str:
    return witness.read_text(encoding="ascii") if witness.exists() else ""


async def _kill(stack: Stack, start: float) -> float:
    """Kill the first process in the middle of the span; return when."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(start + _SPAN_SECONDS / 2 - loop.time())
    stack.processes.kill("calls 0")
    return loop.time()


def _read(witness: Path, killed: Sequence[str], at: float) -> list[tuple[float, int, str]]:
    moments = []
    under_way = dict.fromkeys(killed, 0)
    for line in _text(witness).splitlines():
        sign, moment, worker = line.split(" ")
        step = 1 if sign == "+" else -1
        moments.append((float(moment), step, worker))
        if worker in under_way:
            under_way[worker] += step
    moments += [(at, -1, worker) for worker, count in under_way.items() for _ in range(count)]
    return sorted(moments)


def _figure(case: Case, calls: Calls, requests: dict[str, int]) -> Figure:
    talk = f"{requests['loads']} reads, {requests['swaps']} writes, {requests['lost']} of them lost"
    if case.per_second is not None:
        begun = calls.begun(calls.start, _SPAN_SECONDS)
        most = calls.worst_span(_SPAN_SECONDS)
        wanted = case.per_second * _SPAN_SECONDS
        by_second = calls.per_second()
        return Figure(
            what=f"{WORKERS} workers, {case.name}",
            measured=f"{begun / _SPAN_SECONDS:.1f}/s over {_SPAN_SECONDS:.0f} s = {begun / wanted - 1:+.1%} "
            f"(by the second {min(by_second)}-{max(by_second)}; most in any {_SPAN_SECONDS:.0f} s {most})",
            goal=f"within {_TOLERANCE:.0%}",
            beside=talk,
            met=abs(begun / wanted - 1) <= _TOLERANCE and most <= wanted * (1 + _TOLERANCE),
        )
    limit = case.concurrent or 0
    return Figure(
        what=f"{WORKERS} workers, {case.name}",
        measured=f"{calls.at_once()} at most, {calls.mean_at_once():.1f} in the mean, "
        f"{len(calls.shares())} workers called",
        goal=f"never above {limit}",
        beside=talk,
        met=calls.at_once() <= limit,
    )


def _details(case: Case, calls: Calls, requests: dict[str, int]) -> dict[str, object]:
    return {
        "workers": WORKERS,
        "processes": PROCESSES,
        "calls": calls.begun(calls.start, _SPAN_SECONDS),
        "by_the_second": calls.per_second(),
        "most_in_any_span": calls.worst_span(_SPAN_SECONDS),
        "most_at_once": calls.at_once(),
        "mean_at_once": calls.mean_at_once(),
        "by_worker": calls.shares(),
        "store": requests,
        "limit": case.per_second or case.concurrent,
    }
