"""`POST /addJob` over 64 connections, in turns with a bare FastAPI echo."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, cast

from bench.figures import BenchError, Figure, Section
from bench.processes import module
from bench.stack import Stack, cpu, free_port, opened_stack
from bench.throughput import PAYLOAD

if TYPE_CHECKING:
    from bench.processes import Running

CONNECTIONS = 64
_GOAL_SHARE = 0.5
_GOAL_BYTES = 150_000_000
_BODY = json.dumps({"payload": PAYLOAD})
_WARM_UP_SECONDS = 0.5
_CALM_SECONDS = 60.0
_CALM_POLL_SECONDS = 0.5
_CALM_CPU_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Round:
    """One load on one server."""

    accepted: int
    per_second: float
    p50_seconds: float
    p99_seconds: float
    cpu_ms: dict[str, float]


async def measure(*, quick: bool) -> Section:
    """Load API and echo in turns.

    Raises:
        BenchError: an answer was no 200, or something could not be run.

    """
    # Short rounds: neighbours change, and above some 50,000 jobs the embedded database slows down.
    pairs, seconds = (2, 3.0) if quick else (5, 3.0)
    async with opened_stack() as stack:
        echo, echo_port = await _start_echo(stack)
        api, api_port = await stack.start_api()
        system = {"api": api, "database": stack.mongo, "queue": stack.sqs}
        ours: list[Round] = []
        peers: list[Round] = []
        for _ in range(pairs):
            ours.append(await _load(stack, "/addJob", api_port, seconds, system))
            await _calm(stack, system)
            peers.append(await _load(stack, "/echo", echo_port, seconds, {"echo": echo}))
        peak, echo_peak = api.peak_bytes(), echo.peak_bytes()
        accepted = sum(each.accepted for each in ours)
        lost = await _lost(stack, accepted)
        await stack.processes.stop(api)
    return _section(ours, peers, peak, echo_peak, lost)


async def _start_echo(stack: Stack) -> tuple[Running, int]:
    port = free_port()

    async def is_ready() -> bool:
        return await stack.get(port, "/openapi.json") is not None

    command = module("bench.echo", str(port))
    return await stack.processes.start("echo", command, stack.plain_env, is_ready), port


async def _load(stack: Stack, path: str, port: int, seconds: float, servers: dict[str, Running]) -> Round:
    command = module(
        "bench.loadgen",
        *("--port", str(port), "--path", path, "--connections", str(CONNECTIONS), "--body", _BODY),
        *("--seconds", str(seconds + _WARM_UP_SECONDS), "--warm-up", str(_WARM_UP_SECONDS)),
    )
    before = cpu(servers)
    result = await stack.processes.answer("load", command, stack.plain_env)
    after = cpu(servers)
    accepted = cast("int", result["accepted"])
    if result["statuses"] != {"200": accepted} or result["broken_connections"]:
        raise BenchError(f"{path} answered {result['statuses']}, {result['broken_connections']} broken off")
    latency = cast("dict[str, float]", result["latency_seconds"])
    used = {name: after[name] - before[name] for name in servers}
    used["load generator"] = cast("float", result["cpu_seconds"])
    return Round(
        accepted=accepted,
        per_second=cast("float", result["per_second"]),
        p50_seconds=latency["p50"],
        p99_seconds=latency["p99"],
        cpu_ms={name: 1000 * value / accepted for name, value in used.items()},
    )


async def _calm(stack: Stack, system: dict[str, Running]) -> None:
    """Wait until what the load has left behind (sends, notes) is done: it would slow the peer."""
    deadline = time.monotonic() + _CALM_SECONDS
    while time.monotonic() < deadline:
        owed = await stack.jobs.count_documents({"dueAt": {"$exists": True}}, limit=1)
        before = sum(cpu(system).values())
        await asyncio.sleep(_CALM_POLL_SECONDS)
        if not owed and sum(cpu(system).values()) - before < _CALM_CPU_SHARE * _CALM_POLL_SECONDS:
            return
    raise BenchError(f"the API was not done with what it had accepted after {_CALM_SECONDS:g} s")


async def _lost(stack: Stack, accepted: int) -> tuple[str, ...]:
    stored = await stack.jobs.count_documents({})
    queued = (await stack.queue_counts())["visible"]
    lost = [] if stored == accepted else [f"{accepted} jobs accepted, {stored} stored"]
    # More messages than jobs are no loss: a job that is sent twice runs once.
    return (*lost, *([] if queued >= accepted else [f"{accepted} jobs accepted, {queued} in the queue"]))


def _section(
    ours: list[Round], peers: list[Round], peak: int, echo_peak: int, lost: tuple[str, ...]
) -> Section:
    ratios = [one.per_second / other.per_second for one, other in zip(ours, peers, strict=True)]
    ratio = median(ratios)
    cpu_ms = {name: median([each.cpu_ms[name] for each in ours]) for name in ours[0].cpu_ms}
    peer_ms = {name: median([each.cpu_ms[name] for each in peers]) for name in peers[0].cpu_ms}
    return Section(
        name="api",
        figures=(
            Figure(
                what=f"POST /addJob, {CONNECTIONS} connections",
                measured=f"{_rates(ours)} = {ratio:.0%} of the echo "
                f"(n={len(ratios)} pairs, {min(ratios):.0%}-{max(ratios):.0%})",
                goal=f"≥ {_GOAL_SHARE:.0%} of a bare FastAPI echo",
                beside=f"echo {_rates(peers)}",
                met=ratio >= _GOAL_SHARE,
            ),
            Figure(
                what="  CPU a request",
                measured=", ".join(f"{name} {value:.3f} ms" for name, value in cpu_ms.items()),
                beside=", ".join(f"{name} {value:.3f} ms" for name, value in peer_ms.items()),
            ),
            Figure(
                what="API, peak memory at that load",
                measured=f"{peak / 1e6:.0f} MB",
                goal=f"≤ {_GOAL_BYTES / 1e6:.0f} MB",
                beside=f"echo {echo_peak / 1e6:.0f} MB",
                met=peak <= _GOAL_BYTES,
            ),
        ),
        details={
            "ratio": ratio,
            "ratios": ratios,
            "api": [_as_json(each) for each in ours],
            "echo": [_as_json(each) for each in peers],
            "api_peak_bytes": peak,
            "echo_peak_bytes": echo_peak,
        },
        lost=lost,
    )


def _rates(rounds: list[Round]) -> str:
    p99 = median([each.p99_seconds for each in rounds])
    return f"{median([each.per_second for each in rounds]):.0f}/s, p99 {p99 * 1000:.0f} ms"


def _as_json(one: Round) -> dict[str, object]:
    return {
        "accepted": one.accepted,
        "per_second": one.per_second,
        "p50_seconds": one.p50_seconds,
        "p99_seconds": one.p99_seconds,
        "cpu_ms": one.cpu_ms,
    }
