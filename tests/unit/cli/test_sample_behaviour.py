from __future__ import annotations

from collections import Counter

import pytest

from jobqueue_cli.sample.behaviour import Answer, Behaviour, answer_to
from jobqueue_cli.sample.http import BadRequestError, render, take_request

FLAKY = Behaviour(
    seed=7, always_500=0.1, refused=0.1, error_500=0.2, busy_429=0.1, late=0.1, latency_seconds=0.5
)


def test_the_same_seed_job_and_attempt_give_the_same_answer() -> None:
    answers = [answer_to(FLAKY, f"job-{number}", 1) for number in range(200)]

    assert answers == [answer_to(FLAKY, f"job-{number}", 1) for number in range(200)]
    assert answers != [answer_to(FLAKY, f"job-{number}", 2) for number in range(200)]
    assert answers != [
        answer_to(Behaviour(seed=8, always_500=0.1, error_500=0.2), f"job-{number}", 1)
        for number in range(200)
    ]


def test_each_answer_comes_about_as_often_as_asked() -> None:
    answers = Counter(answer_to(FLAKY, f"job-{number}", 1) for number in range(10_000))

    # Shares of attempts are of the 80 % of jobs that are not doomed.
    expected = {
        Answer(500, 0.5): 0.1 + 0.8 * 0.2,
        Answer(400, 0.5): 0.1,
        Answer(429, 0.5, 1): 0.8 * 0.1,
        Answer(200, 3.0): 0.8 * 0.1,
        Answer(200, 0.5): 0.8 * 0.6,
    }
    assert answers.keys() == expected.keys()
    for answer, share in expected.items():
        assert answers[answer] / 10_000 == pytest.approx(share, abs=0.02)


def test_a_doomed_job_fails_every_attempt() -> None:
    doomed = [
        f"job-{n}" for n in range(100) if answer_to(Behaviour(always_500=0.1), f"job-{n}", 1).status == 500
    ]

    assert doomed
    assert {
        answer_to(Behaviour(always_500=0.1), job, attempt).status for job in doomed for attempt in (2, 3, 9)
    } == {500}


@pytest.mark.parametrize(("asked", "status"), [(503, 503), (200, 200), (99, 200), (True, 200), ("500", 200)])
def test_a_payload_may_ask_for_its_status(asked: object, status: int) -> None:
    assert answer_to(Behaviour(), "job", 1, asked).status == status


@pytest.mark.parametrize(
    "wrong", [{"late": -0.1}, {"late": 0.6, "error_500": 0.6}, {"refused": 1.1}, {"latency_seconds": -1.0}]
)
def test_impossible_shares_and_times_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Behaviour(**wrong)  # type: ignore[arg-type] # one number a field


def test_requests_are_taken_one_by_one_however_they_arrive() -> None:
    post = b"POST /jobs?x=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
    sent = post + b"GET /calls HTTP/1.1\r\nConnection: close\r\n\r\n"
    buffer, taken = bytearray(), []
    for byte in sent:
        buffer.append(byte)
        if (request := take_request(buffer)) is not None:
            taken.append(request)

    assert [(each.method, each.path, each.body, each.keeps_alive) for each in taken] == [
        ("POST", "/jobs", b"{}", True),
        ("GET", "/calls", b"", False),
    ]
    assert not buffer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"x" * 70_000, 431),
    ],
)
def test_what_is_no_request_with_a_length_is_refused(sent: bytes, status: int) -> None:
    with pytest.raises(BadRequestError) as refused:
        take_request(bytearray(sent))

    assert refused.value.status == status


def test_an_answer_is_rendered_with_its_headers() -> None:
    assert render(429, b"{}", {"Retry-After": "1"}) == (
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        b"Retry-After: 1\r\n\r\n{}"
    )
    assert render(599, b"").startswith(b"HTTP/1.1 599 \r\n")
