"""Many JobQueues in one operator: how soon each is observed, how late polls are, what it costs at rest."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from bench.cluster.world import OPERATOR_USER, World, opened_world
from bench.exposition import counters
from bench.figures import BenchError, Figure, Section, percentile, summary
from jobqueue_testsupport.kube.audit import AuditLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.processes import Running

_POLL_SECONDS = 5
_LATE_SECONDS = 0.2
_FIRST_GOAL_SECONDS = 10.0
_MEMORY_GOAL_BYTES = 300 * 2**20
_CORES_GOAL = 0.6
_REQUESTS_GOAL = 0.05
_CREATED_WITHIN_SECONDS = 300.0
_SETTLE_SECONDS = 15.0
_SQS = "jobqueue_sqs_requests_total"
_LATE = "jobqueue_poll_late_seconds"
_ROUND = "jobqueue_reconcile_seconds"


@dataclass(frozen=True, slots=True)
class Rest:
    """What was seen over a time at rest.

    Attributes:
        seconds: how long it was.
        cores: CPU seconds a second of each process, by its name.
        requests: to the API server, of the operator, by verb and resource.
        metrics: the operator's, before and after.
        gaps: seconds between two reads of one queue.

    """

    seconds: float
    cores: dict[str, float]
    requests: Counter[str]
    metrics: tuple[str, str]
    gaps: list[float]

    def counted(self, metric: str, label: str) -> dict[str, float]:
        """Return how much a counter has grown, by one label."""
        before, after = (counters(text, metric, label) for text in self.metrics)
        return {name: value - before.get(name, 0.0) for name, value in after.items()}

    def mean(self, histogram: str) -> float:
        """Return the mean of what a histogram has observed."""
        total, count = (
            sum(self.counted(f"{histogram}_{part}", "none").values()) for part in ("sum", "count")
        )
        return total / max(count, 1.0)


async def measure(*, quick: bool) -> Section:
    """Create JobQueues as fast as the API server takes them, then watch the operator do nothing new.

    Raises:
        BenchError: a JobQueue was never observed, or a process ended.

    """
    count, seconds = (200, 20.0) if quick else (1000, 60.0)
    names = [f"rest-{number}" for number in range(count)]
    async with opened_world() as world:
        server, endpoint = await world.start_sqs_server()
        operator, port = await world.start_operator(AWS_ENDPOINT_URL_SQS=endpoint)
        await world.create_targets(names)
        audit = AuditLog(world.plane.apiserver.audit_log)
        began, cpu = time.monotonic(), operator.cpu_seconds()
        first = await world.settle(names, _CREATED_WITHIN_SECONDS, pollSeconds=_POLL_SECONDS)
        creating = {
            "seconds": time.monotonic() - began,
            "operator_cpu_seconds": operator.cpu_seconds() - cpu,
            "requests": Counter(request.verb for request in audit.read() if request.user == OPERATOR_USER),
        }
        await asyncio.sleep(_SETTLE_SECONDS)
        used = {
            "operator": operator.cpu_seconds,
            "API server": world.cpu_seconds,
            "queue server": server.cpu_seconds,
            "database": world.stack.mongo.cpu_seconds,
        }
        rest = await _rest(world, used, port, endpoint, seconds)
        memory = operator.peak_bytes()
        log = _problems(operator)
    return _section(list(first.values()), rest, memory, {"creating": creating, "log": log})


async def _rest(
    world: World, used: Mapping[str, Callable[[], float]], port: int, endpoint: str, seconds: float
) -> Rest:
    audit = AuditLog(world.plane.apiserver.audit_log)
    before = await _metrics(world, port)
    began, cpu = time.monotonic(), {name: read() for name, read in used.items()}
    await asyncio.sleep(seconds)
    ended = time.monotonic()
    cores = {name: (read() - cpu[name]) / (ended - began) for name, read in used.items()}
    after = await _metrics(world, port)
    requests = Counter(
        f"{request.verb} {request.resource}" for request in audit.read() if request.user == OPERATOR_USER
    )
    polls = await world.stack.get(int(endpoint.rpartition(":")[2]), "/polls")
    return Rest(
        ended - began, cores, requests, (before, after), _gaps(json.loads(polls or "{}"), began, ended)
    )


async def _metrics(world: World, port: int) -> str:
    text = await world.stack.get(port, "/metrics")
    if text is None:
        raise BenchError("the operator shows no metrics")
    return text


def _gaps(polls: Mapping[str, list[float]], began: float, ended: float) -> list[float]:
    """Return the times between two reads of one queue; one that is no longer read has a gap until the end."""
    gaps: list[float] = []
    for name, reads in polls.items():
        if name.endswith("-dead-letter"):
            continue
        inside = [moment for moment in reads if began <= moment <= ended]
        gaps += [after - before for before, after in pairwise(inside)]
        unread = ended - (inside[-1] if inside else began)
        if unread > _POLL_SECONDS + _LATE_SECONDS:
            gaps.append(unread)
    return gaps


def _problems(operator: Running) -> list[str]:
    """Return the first lines of the operator's log that tell of a problem."""
    lines = operator.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line[:300] for line in lines if "warning" in line.lower() or "error" in line.lower()][:20]


def _section(first: list[float], rest: Rest, memory: int, details: dict[str, object]) -> Section:
    count, observed = len(first), summary(first)
    gaps = summary(rest.gaps)
    requests = rest.requests.total() / rest.seconds / count
    rounds = sum(rest.counted(f"{_ROUND}_count", "none").values()) / rest.seconds
    sqs = {name: value / rest.seconds for name, value in rest.counted(_SQS, "operation").items()}
    others = ", ".join(f"{name} {cores:.2f}" for name, cores in rest.cores.items() if name != "operator")
    most = _POLL_SECONDS + _LATE_SECONDS
    of = f"{count:,} JobQueues"
    return Section(
        name="rest",
        figures=(
            Figure(
                what=f"{of}: created → first observed",
                measured=f"p50 {observed['p50']:.2f} s, most {observed['max']:.2f} s",
                goal=f"every one ≤ {_FIRST_GOAL_SECONDS:g} s",
                beside="created one after the other, eight requests at a time",
                met=observed["max"] <= _FIRST_GOAL_SECONDS,
            ),
            Figure(
                what=f"{of}: from one poll to the next",
                measured=f"p50 {gaps['p50']:.2f} s, p99 {gaps['p99']:.2f} s, most {gaps['max']:.2f} s; "
                f"{rounds:.0f} polls a second",
                goal=f"every one ≤ {most:g} s",
                beside="as the queue server saw them",
                met=gaps["max"] <= most,
            ),
            Figure(
                what=f"{of}: the operator's memory",
                measured=f"{memory / 2**20:.0f} MB at the most",
                goal=f"≤ {_MEMORY_GOAL_BYTES / 2**20:.0f} MB",
                met=memory <= _MEMORY_GOAL_BYTES,
            ),
            Figure(
                what=f"{of}: the operator's CPU time at rest",
                measured=f"{rest.cores['operator']:.2f} of a core, with {sum(sqs.values()):.0f} requests to "
                "SQS a second",
                goal=f"≤ {_CORES_GOAL:g} of a core",
                beside=f"{others} (a queue server that only counts)",
                met=rest.cores["operator"] <= _CORES_GOAL,
            ),
            Figure(
                what=f"{of}: requests to the API server at rest",
                measured=f"{requests:.4f} a second for each JobQueue",
                goal=f"≤ {_REQUESTS_GOAL:g}",
                beside=", ".join(f"{name} {number}" for name, number in rest.requests.most_common(5)),
                met=requests <= _REQUESTS_GOAL,
            ),
        ),
        details={
            **details,
            "jobqueues": count,
            "created_to_observed_seconds": observed,
            "poll_gap_seconds": {**gaps, "p999": percentile(rest.gaps, 0.999)},
            "poll_late_mean_seconds": rest.mean(_LATE),
            "round_mean_seconds": rest.mean(_ROUND),
            "rounds_per_second": rounds,
            "sqs_requests_per_second": sqs,
            "peak_bytes": memory,
            "cores": rest.cores,
            "kube_requests": dict(rest.requests),
            "seconds": rest.seconds,
        },
    )
