"""The API of this run, as any client calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from jobqueue_cli.accounts import submitted_total
from jobqueue_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT_SECONDS = 10.0
_OK = 200
_SHOWN = 300


class ApiClient:
    """Calls the API.

    Args:
        url: Where it is.
        api_key: Names who calls; None where the API asks for no key.
        is_remote: Whether proxies that the environment names are used; they do not lead to this machine.
        transport: Another way than the network, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        is_remote: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=_TIMEOUT_SECONDS,
            trust_env=is_remote,
            headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            transport=transport,
        )

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

    async def read(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Return the JSON object at a path; parameters that are None are left out.

        Raises:
            CommandError: It was refused, or nobody answers.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        document: dict[str, Any] = (await self._call("GET", path, params=asked)).json()
        return document

    async def order(self, path: str, body: object) -> dict[str, Any]:
        """Post a JSON object and return the one that is answered.

        Raises:
            CommandError: It was refused, or nobody answers.
        """
        document: dict[str, Any] = (await self._post(path, body)).json()
        return document

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, path: str, body: object) -> httpx.Response:
        return await self._call("POST", path, json=body)

    async def _call(self, method: str, path: str, **content: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        try:
            answer = await self._http.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise CommandError(f"{method} {path} was answered {answer.status_code}: {_told(answer)}")
        return answer


def _told(answer: httpx.Response) -> str:
    """Return what a refusal says: the problem's own words, or else the beginning of the body."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:_SHOWN]
