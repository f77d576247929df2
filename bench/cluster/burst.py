"""From none to a hundred replicas: how many writes, and how soon after the wake."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench.cluster.kube import followed
from bench.cluster.world import DEPLOYMENTS, JOBQUEUES, SCALE, World, arrived, opened_world
from bench.figures import Figure, Section, summary
from jobqueue_testsupport.kube.audit import AuditLog

if TYPE_CHECKING:
    from bench.cluster.kube import Object, Sightings

_REPLICAS = 100
_POLL_SECONDS = 5
# Two polls: what is to be written in a second step would have been.
_WATCHED_SECONDS = 2 * _POLL_SECONDS + 1.0
_ARRIVAL_SECONDS = 30.0
_SETTLE_SECONDS = 60.0
_SQS_BATCH = 10


async def measure(*, quick: bool) -> Section:
    """Fill queues while their JobQueues hold, then let these scale.

    Raises:
        BenchError: one was not scaled.

    """
    names = [f"burst-{number}" for number in range(3 if quick else 20)]
    async with opened_world() as world:
        await world.start_operator()
        await world.create_targets(names)
        await world.settle(names, _SETTLE_SECONDS, pollSeconds=_POLL_SECONDS, maxReplicas=_REPLICAS)
        audit = AuditLog(world.plane.apiserver.audit_log)
        async with followed(world.kube, DEPLOYMENTS, _asks_for_all) as sightings:
            scaled = [await _one_burst(world, sightings, name) for name in names]
            await asyncio.sleep(_WATCHED_SECONDS)
        written = [request.name for request in audit.read() if request.resource == SCALE and request.writes]
    writes = [written.count(name) for name in names]
    return _section(writes, scaled)


async def _one_burst(world: World, sightings: Sightings, name: str) -> float:
    """Return the seconds from the release of a full queue to the number's being seen."""
    path = f"{JOBQUEUES}/{name}"
    # Held, so that no poll reads the queue half filled.
    await world.kube.patch(path, {"spec": {"suspend": "Hold"}})
    sqs = world.stack.sqs_client
    url = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
    for _ in range(_REPLICAS // _SQS_BATCH):
        entries = [{"Id": str(number), "MessageBody": "{}"} for number in range(_SQS_BATCH)]
        await sqs.send_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type] # plain mappings
    await asyncio.sleep(1.0)  # wakes of one JobQueue are answered once a second
    arrival, sent = sightings.expect(name), time.monotonic()
    await world.kube.patch(path, {"spec": {"suspend": "None"}})
    moments = await arrived({name: arrival}, _ARRIVAL_SECONDS, f"does not ask for {_REPLICAS} replicas")
    return moments[name] - sent


def _asks_for_all(deployment: Object) -> bool:
    return int(deployment["spec"].get("replicas", 1)) == _REPLICAS


def _section(writes: list[int], scaled: list[float]) -> Section:
    took = summary(scaled)
    return Section(
        name="burst",
        figures=(
            Figure(
                what=f"0 → {_REPLICAS} replicas asked for",
                measured=f"{max(writes)} write{'s' if max(writes) > 1 else ''} at the most (n={len(writes)})",
                goal="one write",
                beside=f"spec changed → number seen: p50 {took['p50']:.3f} s, most {took['max']:.3f} s",
                met=set(writes) == {1},
            ),
        ),
        details={"writes": writes, "released_to_scaled_seconds": took, "replicas": _REPLICAS},
    )
