"""The sample service as a process, called over HTTP."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START_SECONDS = 30.0


@asynccontextmanager
async def sample(*arguments: str) -> AsyncIterator[httpx.AsyncClient]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobqueue_cli.sample", *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            url = (await process.stdout.readline()).decode().removeprefix("ready: ").strip()
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
            yield client
    finally:
        process.terminate()
        code = await process.wait()
    assert code == 0


async def test_it_answers_every_kind_and_counts_them() -> None:
    async with sample("--p-429", "1", "--p-400", "0.3", "--retry-after", "7") as client:
        answers = await asyncio.gather(
            *(client.post("/jobs", json={"jobId": f"job-{n}", "attempt": 1}) for n in range(40)),
            client.post("/jobs", json={"jobId": "asked", "attempt": 1, "answer": 503}),
        )
        calls = (await client.get("/calls")).json()

    codes = [answer.status_code for answer in answers]
    assert {*codes} == {400, 429, 503}
    assert {answer.headers["Retry-After"] for answer in answers if answer.status_code == 429} == {"7"}
    assert calls == {
        "calls": 41,
        "jobs": 41,
        "answers": {str(code): codes.count(code) for code in sorted({*codes})},
    }


async def test_a_late_answer_is_still_under_way_when_the_caller_has_given_up() -> None:
    async with sample("--p-late", "1", "--late-seconds", "60") as client:
        late = asyncio.create_task(client.post("/jobs", json={"jobId": "job", "attempt": 1}))
        answers: dict[str, int] = {}
        async with asyncio.timeout(START_SECONDS):
            while answers != {"late": 1}:
                answers = (await client.get("/calls")).json()["answers"]

        assert not late.done()
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)


async def test_what_is_no_job_is_refused() -> None:
    async with sample() as client:
        bodies = [b"", b"[]", b'{"jobId": 1, "attempt": 1}', b'{"jobId": "job"}', b"\xff"]
        answers = [(await client.post("/jobs", content=body)).status_code for body in bodies]
        other = (await client.put("/jobs")).status_code
        calls = (await client.get("/calls")).json()

    assert answers == [400] * 5
    assert other == 405
    assert calls["calls"] == 0


async def test_arguments_that_cannot_be_are_a_line_and_exit_code_2() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobqueue_cli.sample", "--p-500", "1.5"), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()

    assert process.returncode == 2
    assert said.decode().startswith("sample: shares must be")
