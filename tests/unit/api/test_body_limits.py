"""Bodies that are too large are refused, announced or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_testsupport.api_rig import ApiRig, assert_problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

LIMIT = 262_144


def body_of(size: int) -> bytes:
    frame = b'{"payload":{"text":""}}'
    return b'{"payload":{"text":"' + b"x" * (size - len(frame)) + b'"}}'


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_at_the_limit_is_taken(rig: ApiRig, client: httpx.AsyncClient, *, chunked: bool) -> None:
    body = body_of(LIMIT)
    answer = await client.post("/addJob", content=chunks(body) if chunked else body)
    assert answer.status_code == 200
    assert rig.only_job.payload


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_over_the_limit_is_refused(
    rig: ApiRig, client: httpx.AsyncClient, *, chunked: bool
) -> None:
    body = body_of(300 * 1024)
    answer = await client.post("/addJob", content=chunks(body) if chunked else body)
    document = assert_problem(answer, 413, "body_too_large")
    assert str(LIMIT) in document["detail"]
    assert rig.store.jobs == {}


async def test_announced_length_is_refused_before_it_is_read(client: httpx.AsyncClient) -> None:
    read = False

    async def unread() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"{}"

    answer = await client.post("/addJob", content=unread(), headers={"content-length": str(LIMIT + 1)})
    assert_problem(answer, 413, "body_too_large")
    assert not read


async def test_chunks_are_read_no_further_than_the_limit(client: httpx.AsyncClient) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 10_000
            yield b"x" * 10_000

    assert_problem(await client.post("/addJob", content=endless()), 413, "body_too_large")
    assert read < LIMIT + 20_000


async def test_limit_is_a_setting() -> None:
    rig = ApiRig(api={"limits": {"max_body_bytes": 2000}})
    async with rig.serve() as client:
        assert (await client.post("/addJob", content=body_of(2000))).status_code == 200
        assert_problem(await client.post("/addJob", content=body_of(2001)), 413, "body_too_large")


async def test_batch_may_be_larger_as_a_whole(rig: ApiRig, client: httpx.AsyncClient) -> None:
    job = body_of(200_000)
    answer = await client.post("/jobs/batch", content=b'{"jobs":[' + b",".join([job] * 20) + b"]}")
    assert answer.json()["accepted"] == 20
    too_large = await client.post("/jobs/batch", content=b'{"jobs":[' + b",".join([job] * 21) + b"]}")
    assert_problem(too_large, 413, "body_too_large")
    assert len(rig.store.jobs) == 20


async def test_entry_of_a_batch_may_not(rig: ApiRig, client: httpx.AsyncClient) -> None:
    jobs = b",".join([body_of(LIMIT + 1), body_of(LIMIT - 100)])
    answer = await client.post("/jobs/batch", content=b'{"jobs":[' + jobs + b"]}")
    first, second = answer.json()["results"]
    assert first["problem"]["code"] == "body_too_large"
    assert second["created"] is True
    assert len(rig.store.jobs) == 1
