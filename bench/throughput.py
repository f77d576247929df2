"""A worker with a backlog and a service that answers in 100 ms, beside the database's own limit."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bench.exposition import counters, sqs_requests
from bench.figures import BenchError, Figure, Section, percentile
from bench.processes import CpuTrace, module
from bench.stack import HOST, Stack, cpu, free_port, opened_stack

if TYPE_CHECKING:
    from datetime import datetime

    from bench.processes import Running

PAYLOAD = {"to": "ada@example.com", "template": "welcome", "order": 1815}
SLOTS = 50
_LATENCY_SECONDS = 0.1
_CEILING = SLOTS / _LATENCY_SECONDS
_GOAL_SHARE = 0.9
_GOAL_REQUESTS = 0.5
_GOAL_BYTES = 120_000_000
_PIPELINES = 4
_FINISH_SECONDS = 180.0
_POLL_SECONDS = 0.2
# The rate is that of the middle: at the start nothing is known of the service, at the end slots run empty.
_MIDDLE = (0.1, 0.9)


@dataclass(frozen=True, slots=True)
class Drained:
    """What the worker did with the backlog.

    Attributes:
        per_second: jobs finished a second, in the middle of the run.
        claim_batch: mean number of jobs claimed at once.
        cpu_seconds: of each process, while the backlog was worked off.

    """

    jobs: int
    seconds: float
    per_second: float
    per_second_overall: float
    claim_batch: float
    cpu_seconds: dict[str, float]
    requests: dict[str, float]
    peak_bytes: int
    finished: dict[str, float]


async def measure(*, quick: bool) -> Section:
    """Load a backlog, let one worker work it off, ask the database for the same alone.

    Raises:
        BenchError: something could not be run.

    """
    count = 1500 if quick else 4000
    async with opened_stack() as stack:
        sample, sample_url = await _start_sample(stack)
        submitted = await _preload(stack, count)
        floors = [await _floor(stack, count, 10, "before")]
        drained = await _drain(stack, count, sample, sample_url)
        lost = await _lost(stack, count, sample_url)
        batch = max(1, round(drained.claim_batch))
        floors.append(await _floor(stack, count, batch, "after"))
        floors.append(await _floor(stack, count, 50, "after"))
    return _section(drained, submitted, floors, lost)


async def _start_sample(stack: Stack) -> tuple[Running, str]:
    port = free_port()

    async def is_ready() -> bool:
        return await stack.get(port, "/healthz") is not None

    command = module("jobqueue_cli.sample", "--port", str(port), "--latency", str(_LATENCY_SECONDS))
    return await stack.processes.start("sample service", command, stack.plain_env, is_ready), (
        f"http://{HOST}:{port}/jobs"
    )


async def _preload(stack: Stack, count: int) -> dict[str, float]:
    """Submit the backlog through the API and end it; return its requests to SQS."""
    api, port = await stack.start_api()
    load = module("bench.loadgen", "--port", str(port), "--path", "/addJob", "--requests", str(count))
    result = await stack.processes.answer(
        "load", [*load, "--body", json.dumps({"payload": PAYLOAD})], stack.plain_env
    )
    if result["accepted"] != count:
        raise BenchError(f"{count} jobs submitted, answers: {result['statuses']}")
    deadline = time.monotonic() + _FINISH_SECONDS
    while (await stack.queue_counts())["visible"] < count:
        if time.monotonic() > deadline:
            raise BenchError(f"{count} jobs accepted, the queue has {await stack.queue_counts()}")
        await asyncio.sleep(_POLL_SECONDS)
    requests = sqs_requests(await stack.get(port, "/metrics") or "")
    await stack.processes.stop(api)
    return requests


async def _drain(stack: Stack, count: int, sample: Running, sample_url: str) -> Drained:
    processes = {"database": stack.mongo, "queue": stack.sqs, "service": sample}
    started = time.perf_counter()
    worker, port = await stack.start_worker(sample_url, JOBQUEUE_WORKER__CONCURRENCY=str(SLOTS))
    processes["worker"] = worker
    # Not what its start costs: the worker is compared by job.
    before = cpu(processes)
    deadline = time.monotonic() + _FINISH_SECONDS
    text, ended = "", 0.0
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        if time.monotonic() > deadline:
            raise BenchError(f"{count} jobs were not finished:\n{worker.shown_log()}")
        if await _calls(stack, sample_url) < count:
            continue
        text = await stack.get(port, "/metrics") or ""
        if sum(counters(text, "jobqueue_jobs_finished_total", "status").values()) < count:
            continue
        ended = ended or time.perf_counter()
        if sum((await stack.queue_counts()).values()) == 0:
            break
    after = cpu(processes)
    peak = worker.peak_bytes()
    await stack.processes.stop(worker)
    rows = await stack.jobs.find({}, {"finishedAt": 1, "history.startedAt": 1}).to_list()
    finished = sorted(cast("datetime", row["finishedAt"]).timestamp() for row in rows if row["finishedAt"])
    starts = {row["history"][0]["startedAt"] for row in rows if row["history"]}
    low, high = (percentile(finished, share) for share in _MIDDLE)
    inside = sum(low < moment <= high for moment in finished)
    return Drained(
        jobs=count,
        seconds=ended - started,
        per_second=inside / (high - low),
        per_second_overall=count / (finished[-1] - finished[0]),
        claim_batch=count / max(1, len(starts)),
        cpu_seconds={name: value - before[name] for name, value in after.items()},
        requests=sqs_requests(text),
        peak_bytes=peak,
        finished=_per_second_spread(finished),
    )


def _per_second_spread(finished: list[float]) -> dict[str, float]:
    """Return the least and the most that were finished in a whole second, first and last left out."""
    counts: dict[int, int] = {}
    for moment in finished:
        second = int(moment - finished[0])
        counts[second] = counts.get(second, 0) + 1
    whole = [counts.get(second, 0) for second in range(1, max(counts))] or [len(finished)]
    return {"min": min(whole), "max": max(whole)}


async def _calls(stack: Stack, sample_url: str) -> int:
    return (await _sample_counts(stack, sample_url))["calls"]


async def _sample_counts(stack: Stack, sample_url: str) -> dict[str, int]:
    port = int(sample_url.rpartition(":")[2].partition("/")[0])
    return cast("dict[str, int]", json.loads(await stack.get(port, "/calls") or "{}"))


async def _lost(stack: Stack, count: int, sample_url: str) -> tuple[str, ...]:
    """Compare what was accepted with what the store and the service know of it."""
    calls = await _sample_counts(stack, sample_url)
    done = await stack.jobs.count_documents({"status": "SUCCESS", "attempts": 1})
    stored = await stack.jobs.count_documents({})
    found = {
        "jobs stored": stored,
        "jobs finished in one attempt": done,
        "jobs called": calls["jobs"],
        "calls": calls["calls"],
    }
    return tuple(
        f"{count} jobs accepted, {number} {what}" for what, number in found.items() if number != count
    )


async def _floor(stack: Stack, count: int, batch: int, when: str) -> dict[str, object]:
    """Run the three operations bare in a database of their own on the same server."""
    command = module(
        "bench.database",
        *("--uri", stack.mongo_uri, "--database", f"floor-{when}-{batch}", "--jobs", str(count)),
        *("--batch", str(batch), "--pipelines", str(_PIPELINES), "--payload", json.dumps(PAYLOAD)),
    )
    async with CpuTrace(stack.mongo) as trace:
        result = await stack.processes.answer("database alone", command, stack.plain_env)
    started, ended = cast("float", result.pop("started_at")), cast("float", result.pop("ended_at"))
    used = trace.between(started, ended)
    return {
        **result,
        "when": when,
        "seconds": ended - started,
        "server_cpu_seconds": used,
        "server_cpu_share": used / (ended - started),
    }


def _section(
    drained: Drained, submitted: dict[str, float], floors: list[dict[str, object]], lost: tuple[str, ...]
) -> Section:
    share = drained.per_second / _CEILING
    limit = max(cast("float", floor["jobs_per_second"]) for floor in floors)
    requests = {**submitted, **drained.requests}
    per_job = sum(requests.values()) / drained.jobs
    cpu_ms = {name: 1000 * value / drained.jobs for name, value in drained.cpu_seconds.items()}
    floor_text = "; ".join(
        f"batches of {floor['batch']}: {floor['jobs_per_second']:.0f}/s, "
        f"{floor['server_cpu_share']:.0%} of a core"
        for floor in floors
    )
    return Section(
        name="worker",
        figures=(
            Figure(
                what=f"worker, service answers in 100 ms, {SLOTS} slots",
                measured=f"{drained.per_second:.0f} jobs/s = {share:.0%} (n={drained.jobs}, by the second "
                f"{drained.finished['min']:.0f}-{drained.finished['max']:.0f})",
                goal=f"≥ {_GOAL_SHARE:.0%} of {_CEILING:.0f}/s",
                beside=f"the database alone: {floor_text}",
                met=share >= _GOAL_SHARE,
            ),
            Figure(
                what="  CPU a job at that load",
                measured=", ".join(f"{name} {value:.2f} ms" for name, value in sorted(cpu_ms.items())),
                beside=f"all together {sum(cpu_ms.values()):.2f} ms",
            ),
            Figure(
                what="SQS requests a job, send to delete",
                measured=f"{per_job:.2f} (n={drained.jobs})",
                goal=f"≤ {_GOAL_REQUESTS}",
                beside=", ".join(f"{name} {value / drained.jobs:.2f}" for name, value in requests.items()),
                met=per_job <= _GOAL_REQUESTS,
            ),
            Figure(
                what="worker, peak memory at that load",
                measured=f"{drained.peak_bytes / 1e6:.0f} MB",
                goal=f"≤ {_GOAL_BYTES / 1e6:.0f} MB",
                met=drained.peak_bytes <= _GOAL_BYTES,
            ),
        ),
        details={
            "jobs": drained.jobs,
            "jobs_per_second": drained.per_second,
            "jobs_per_second_first_to_last": drained.per_second_overall,
            "share_of_ceiling": share,
            "share_of_database_alone": drained.per_second / limit,
            "by_the_second": drained.finished,
            "seconds_from_start_of_process": drained.seconds,
            "mean_claim_batch": drained.claim_batch,
            "cpu_seconds": drained.cpu_seconds,
            "cpu_ms_per_job": cpu_ms,
            "database_alone": floors,
            "sqs_requests": requests,
            "sqs_requests_per_job": per_job,
            "worker_peak_bytes": drained.peak_bytes,
        },
        lost=lost,
    )
