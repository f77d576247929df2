"""One message to each of many empty queues at once, woken by nothing: all of them, within one poll."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp

from bench.cluster.world import opened_world
from bench.figures import Figure, Section, summary

_POLL_SECONDS = 5
_SLACK_SECONDS = 1.0
_SETTLE_SECONDS = 120.0
_WATCHED_SECONDS = 60.0
_SENDERS = 32


async def measure(*, quick: bool) -> Section:
    """Send, and wait for every Deployment.

    Raises:
        BenchError: a JobQueue was never observed, or a process ended.

    """
    names = [f"many-{number}" for number in range(60 if quick else 300)]
    async with opened_world() as world:
        _, endpoint = await world.start_sqs_server()
        operator, _ = await world.start_operator(AWS_ENDPOINT_URL_SQS=endpoint)
        await world.create_targets(names)
        await world.settle(names, _SETTLE_SECONDS, pollSeconds=_POLL_SECONDS)
        async with world.scaled() as sightings:
            waits = {name: sightings.expect(name) for name in names}
            began, cpu = time.monotonic(), operator.cpu_seconds()
            sent = await _send(endpoint, names)
            await asyncio.wait(waits.values(), timeout=_WATCHED_SECONDS)
            ended, used = time.monotonic(), operator.cpu_seconds() - cpu
    took = [wait.result() - sent[name] for name, wait in waits.items() if wait.done()]
    sending = max(sent.values()) - began
    details: dict[str, object] = {
        "sending_seconds": sending,
        "operator_cpu_seconds": used,
        "seconds": ended - began,
    }
    return _section(len(names), took, details)


async def _send(endpoint: str, names: list[str]) -> dict[str, float]:
    """Return the moment of `time.monotonic` at which each message was in its queue."""
    sent: dict[str, float] = {}
    gate = asyncio.Semaphore(_SENDERS)
    headers = {"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"}
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:

        async def send(name: str) -> None:
            body = {"QueueUrl": f"{endpoint}/000000000000/{name}", "MessageBody": "{}"}
            async with gate, session.post(endpoint, data=json.dumps(body)):
                sent[name] = time.monotonic()

        await asyncio.gather(*map(send, names))
    return sent


def _section(count: int, took: list[float], details: dict[str, object]) -> Section:
    within = _POLL_SECONDS + _SLACK_SECONDS
    scaled = sum(seconds <= within for seconds in took)
    ours = summary(took) if took else {}
    most = f", the last after {ours['max']:.2f} s" if took else ""
    return Section(
        name="many",
        figures=(
            Figure(
                what=f"one message to each of {count} empty queues at once, poll {_POLL_SECONDS} s, no wake",
                measured=f"{scaled} of {count} scaled within {within:g} s{most}",
                goal=f"{count} of {count} within {within:g} s",
                beside=f"the messages were sent within {details['sending_seconds']:.2f} s",
                met=scaled == count,
            ),
        ),
        details={**details, "sent_to_scaled_seconds": ours, "queues": count, "poll_seconds": _POLL_SECONDS},
    )
