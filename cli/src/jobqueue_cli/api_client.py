"""The API of this run, as any client calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from jobqueue_cli.accounts import submitted_total
from jobqueue_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT_SECONDS = 10.0
_OK = 200


class ApiClient:
    """Calls the API; proxies that the environment names are left aside, it is on this machine."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False)

    async def is_ready(self) -> bool:
        """Whether submissions are accepted."""
        try:
            answer = await self._http.get("/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == _OK

    async def accepted(self) -> int | None:
        """Return how many jobs it has stored since it was started; None when it does not answer."""
        try:
            answer = await self._http.get("/metrics")
        except httpx.HTTPError:
            return None
        return submitted_total(answer.text) if answer.status_code == _OK else None

    async def submit(self, jobs: Sequence[Mapping[str, object]]) -> None:
        """Submit jobs in one batch.

        Raises:
            CommandError: It was refused.
        """
        await self._post("/jobs/batch", {"jobs": list(jobs)})

    async def submit_one(self, job: Mapping[str, object]) -> str:
        """Submit one job and return its id.

        Raises:
            CommandError: It was refused.
        """
        answer = await self._post("/addJob", job)
        return str(answer.json()["jobId"])

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, path: str, body: object) -> httpx.Response:
        try:
            answer = await self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise CommandError(f"POST {path}: {type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise CommandError(f"POST {path} was answered {answer.status_code}: {answer.text[:300]}")
        return answer
