"""Job posted → replicas written, from zero, woken by the API, beside a bare round trip of the API server."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import httpx

from bench.cluster.kube import followed
from bench.cluster.world import DEPLOYMENTS, World, arrived, opened_world
from bench.figures import BenchError, Figure, Section, summary
from bench.stack import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.cluster.kube import Object, Sightings

_P50_GOAL_SECONDS, _P99_GOAL_SECONDS = 0.1, 1.0
# So long that no poll comes in between.
_POLL_SECONDS = 600
_ARRIVAL_SECONDS = 15.0
_SETTLE_SECONDS = 60.0
_PAUSE_SECONDS = (0.1, 0.4)
_FLOOR = "floor"
_ANNOTATION = "bench/wake"


async def measure(*, quick: bool) -> Section:
    """Post a job to each of many queues at rest; between them, annotate, watch and scale by hand.

    Raises:
        BenchError: a job was refused, or woke nobody.

    """
    count = 10 if quick else 60
    names = [f"woken-{number}" for number in range(count)]
    async with opened_world() as world:
        await world.start_operator()
        await world.create_targets([*names, _FLOOR])
        await world.settle(names, _SETTLE_SECONDS, pollSeconds=_POLL_SECONDS)
        _, port = await world.start_api()
        async with (
            world.scaled() as sightings,
            followed(world.kube, DEPLOYMENTS, _is_annotated) as annotated,
            httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False) as api,
        ):
            floor = [await _floor(world, annotated, sightings, number) for number in range(3)]
            floor.clear()
            scaled, answers = [], []
            for number, name in enumerate(names):
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
                seconds, answer = await _one_job(api, sightings, name)
                scaled.append(seconds)
                answers.append(answer)
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
                floor.append(await _floor(world, annotated, sightings, number))
    return _section(scaled, answers, floor)


async def _one_job(api: httpx.AsyncClient, sightings: Sightings, name: str) -> tuple[float, float]:
    """Return the seconds from the request to the number's being seen, and to the API's answer."""
    arrival = sightings.expect(name)
    sent = time.monotonic()
    answer = await api.post("/addJob", json={"queue": name, "payload": {}})
    answered = time.monotonic()
    if answer.status_code != httpx.codes.OK:
        raise BenchError(f"POST /addJob answered {answer.status_code}: {answer.text[:200]}")
    moments = await arrived({name: arrival}, _ARRIVAL_SECONDS, "was not scaled after a job had been posted")
    return moments[name] - sent, answered - sent


async def _floor(world: World, annotated: Sightings, scaled: Sightings, number: int) -> float:
    """Annotate, see it, scale, see that: what no operator can do without."""
    path = f"{DEPLOYMENTS}/{_FLOOR}"
    told, done = annotated.expect(_FLOOR), scaled.expect(_FLOOR)
    sent = time.monotonic()
    await world.kube.patch(path, {"metadata": {"annotations": {_ANNOTATION: str(number)}}})
    await arrived({_FLOOR: told}, _ARRIVAL_SECONDS, "its annotation was not seen")
    await world.kube.patch(f"{path}/scale", {"spec": {"replicas": 1}})
    moments = await arrived({_FLOOR: done}, _ARRIVAL_SECONDS, "its number was not seen")
    await world.kube.patch(path, {"metadata": {"annotations": {_ANNOTATION: None}}, "spec": {"replicas": 0}})
    return moments[_FLOOR] - sent


def _is_annotated(deployment: Object) -> bool:
    return _ANNOTATION in (deployment["metadata"].get("annotations") or {})


def _section(scaled: Sequence[float], answers: Sequence[float], floor: Sequence[float]) -> Section:
    ours, answer, bare = summary(scaled), summary(answers), summary(floor)
    return Section(
        name="woken",
        figures=(
            Figure(
                what="job posted → replicas written, from zero, woken",
                measured=f"p50 {ours['p50']:.3f} s, p99 {ours['p99']:.3f} s (n={len(scaled)})",
                goal=f"p50 ≤ {_P50_GOAL_SECONDS:g} s, p99 ≤ {_P99_GOAL_SECONDS:g} s",
                beside=f"annotate → watch → patch → watch: p50 {bare['p50']:.3f} s, p99 {bare['p99']:.3f} s; "
                f"the API's answer p50 {answer['p50']:.3f} s",
                met=ours["p50"] <= _P50_GOAL_SECONDS and ours["p99"] <= _P99_GOAL_SECONDS,
            ),
        ),
        details={
            "posted_to_scaled_seconds": ours,
            "api_answer_seconds": answer,
            "floor_seconds": bare,
            "poll_seconds": _POLL_SECONDS,
        },
    )
