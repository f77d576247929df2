"""What the sample service answers: a pure function of seed, job and attempt."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

_DIGEST_BYTES = 8
_DIGESTS = 256.0**_DIGEST_BYTES
_FIRST_STATUS, _LAST_STATUS = 200, 599


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How often the service misbehaves.

    Attributes:
        seed: The same seed, job and attempt give the same answer.
        always_500: Share of jobs of which every attempt is answered 500.
        refused: Share of jobs of which every attempt is answered 400.
        error_500: Share of attempts answered 500.
        busy_429: Share of attempts answered 429 with `Retry-After`.
        late: Share of attempts answered after `late_seconds`.
        latency_seconds: Time that an answer takes.
        late_seconds: Time that a late answer takes; to be longer than the caller waits.
        retry_after_seconds: What a 429 asks for.

    Raises:
        ValueError: A share or a time that cannot be.
    """

    seed: int = 1
    always_500: float = 0.0
    refused: float = 0.0
    error_500: float = 0.0
    busy_429: float = 0.0
    late: float = 0.0
    latency_seconds: float = 0.0
    late_seconds: float = 3.0
    retry_after_seconds: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        shares = (self.always_500, self.refused, self.error_500, self.busy_429, self.late)
        of_jobs, of_attempts = sum(shares[:2]), sum(shares[2:])
        if min(shares) < 0 or max(of_jobs, of_attempts) > 1:
            raise ValueError("shares must be at least 0 and at most 1 in sum, of jobs and of attempts each")
        if min(self.latency_seconds, self.late_seconds, self.retry_after_seconds) < 0:
            raise ValueError("times must be at least 0 seconds")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        status: The HTTP status.
        delay_seconds: Time until it is sent.
        retry_after_seconds: Value of `Retry-After`; None leaves the header out.
    """

    status: int
    delay_seconds: float
    retry_after_seconds: int | None = None


def answer_to(behaviour: Behaviour, job_id: str, attempt: int, asked: object = None) -> Answer:
    """Return the answer to one attempt of a job.

    Args:
        behaviour: How often what goes wrong.
        job_id: The job.
        attempt: Number of the attempt, from 1.
        asked: The `answer` of the job's payload: a status from 200 to 599 is answered as it is, to every
            attempt; anything else is ignored.
    """
    in_time = behaviour.latency_seconds
    if isinstance(asked, int) and not isinstance(asked, bool) and _FIRST_STATUS <= asked <= _LAST_STATUS:
        return Answer(asked, in_time)
    of_the_job = _drawn(
        _share(f"{behaviour.seed}/{job_id}"),
        (behaviour.always_500, Answer(500, in_time)),
        (behaviour.refused, Answer(400, in_time)),
    )
    of_the_attempt = _drawn(
        _share(f"{behaviour.seed}/{job_id}/{attempt}"),
        (behaviour.error_500, Answer(500, in_time)),
        (behaviour.busy_429, Answer(429, in_time, behaviour.retry_after_seconds)),
        (behaviour.late, Answer(200, behaviour.late_seconds)),
    )
    return of_the_job or of_the_attempt or Answer(200, in_time)


def _drawn(lot: float, *shares: tuple[float, Answer]) -> Answer | None:
    """Return the answer in whose share the lot falls; None beyond all of them."""
    end = 0.0
    for share, answer in shares:
        end += share
        if lot < end:
            return answer
    return None


def _share(text: str) -> float:
    """Return a number from 0 to below 1, evenly spread over the texts."""
    digest = blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
    return int.from_bytes(digest) / _DIGESTS
