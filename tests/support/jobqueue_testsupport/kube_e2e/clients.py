"""What a client of the API does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

_SECONDS = 30.0
_POLL_SECONDS = 0.2
FINAL = frozenset({"SUCCESS", "FAILED", "CANCELLED"})


class ApiUser:
    """Calls the API at a URL; a context manager."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=_SECONDS)

    def add_job(self, payload: dict[str, Any], queue: str | None = None) -> str:
        """`POST /addJob`; return the job's id."""
        answer = self._http.post("/addJob", json=_body(payload, queue))
        answer.raise_for_status()
        return str(answer.json()["jobId"])

    def add_jobs(self, payloads: Sequence[dict[str, Any]]) -> list[str]:
        """`POST /jobs/batch`; return the jobs' ids, in order."""
        answer = self._http.post("/jobs/batch", json={"jobs": [_body(payload, None) for payload in payloads]})
        answer.raise_for_status()
        return [str(result["jobId"]) for result in answer.json()["results"]]

    def job(self, job_id: str) -> dict[str, Any]:
        """`GET /jobs/{id}`."""
        answer = self._http.get(f"/jobs/{job_id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def wait_final(self, job_ids: Sequence[str], seconds: float) -> list[dict[str, Any]]:
        """Wait until every job has ended; return them.

        Raises:
            TimeoutError: some have not, in so many seconds.
        """
        end = time.monotonic() + seconds
        ended: dict[str, dict[str, Any]] = {}
        while waiting := [job_id for job_id in job_ids if job_id not in ended]:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(waiting)} jobs not ended within {seconds:g} s: {waiting[:5]}")
            for job_id in waiting:
                job = self.job(job_id)
                if job["status"] not in FINAL:
                    time.sleep(_POLL_SECONDS)
                    break
                ended[job_id] = job
        return [ended[job_id] for job_id in job_ids]

    def __enter__(self) -> Self:
        """Give the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        self._http.close()


def _body(payload: dict[str, Any], queue: str | None) -> dict[str, Any]:
    return {"payload": payload} if queue is None else {"payload": payload, "queue": queue}
