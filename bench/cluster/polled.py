"""Message sent → replicas written, from zero, by the poll alone."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from bench.cluster.world import World, arrived, opened_world
from bench.figures import Figure, Section, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.cluster.kube import Sightings

_POLL_SECONDS = 5
_SLACK_SECONDS = 0.2
_ARRIVAL_SECONDS = 30.0
_SETTLE_SECONDS = 60.0


async def measure(*, quick: bool) -> Section:
    """Send one message to each of many queues, at any moment of their polls.

    Raises:
        BenchError: a message was not seen.

    """
    names = [f"polled-{number}" for number in range(10 if quick else 60)]
    async with opened_world() as world:
        await world.start_operator()
        await world.create_targets(names)
        await world.settle(names, _SETTLE_SECONDS, pollSeconds=_POLL_SECONDS)
        async with world.scaled() as sightings:
            scaled = await asyncio.gather(*(_one_message(world, sightings, name) for name in names))
    return _section(scaled)


async def _one_message(world: World, sightings: Sightings, name: str) -> float:
    """Return the seconds from the queue's answer to the number's being seen."""
    await asyncio.sleep(random.uniform(0, 2 * _POLL_SECONDS))
    sqs = world.stack.sqs_client
    url = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
    arrival = sightings.expect(name)
    await sqs.send_message(QueueUrl=url, MessageBody="{}")
    sent = time.monotonic()
    moments = await arrived({name: arrival}, _ARRIVAL_SECONDS, "was not scaled after a message had been sent")
    return moments[name] - sent


def _section(scaled: Sequence[float]) -> Section:
    ours, most = summary(scaled), _POLL_SECONDS + _SLACK_SECONDS
    return Section(
        name="polled",
        figures=(
            Figure(
                what=f"message sent → replicas written, from zero, by a poll of {_POLL_SECONDS} s alone",
                measured=f"p50 {ours['p50']:.2f} s, most {ours['max']:.2f} s (n={len(scaled)})",
                goal=f"≤ {most:g} s",
                met=ours["max"] <= most,
            ),
        ),
        details={"sent_to_scaled_seconds": ours, "poll_seconds": _POLL_SECONDS},
    )
