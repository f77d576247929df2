"""Failed jobs of a queue, looked at and run again over the API."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jobqueue_cli.errors import FAILED, CommandError
from jobqueue_cli.letters_text import group_table, job_table, redrive_line, redrive_table, report_lines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobqueue_cli.api_client import ApiClient
    from jobqueue_cli.tables import Printer

_GROUPS = 100
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs are to run again, and how fast; without group and ids all of the queue."""

    group: str | None = None
    job_ids: tuple[str, ...] = ()
    per_second: float | None = None

    def body(self) -> dict[str, object]:
        """Return what the API is asked for."""
        body: dict[str, object] = {}
        if self.group is not None:
            body["group"] = self.group
        if self.job_ids:
            body["jobIds"] = list(self.job_ids)
        if self.per_second is not None:
            body["perSecond"] = self.per_second
        return body


class DeadLetterCommands:
    """What `jobqueue dlq` does.

    Args:
        client: The API.
        queue: Whose failed jobs.
        printer: Where to tell of them.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        client: ApiClient,
        queue: str,
        printer: Printer,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._path = f"/queues/{quote(queue, safe='')}/dead-letters"
        self._printer = printer
        self._sleep = sleep

    async def show(self, group: str | None, count: int) -> None:
        """List the newest failed jobs, as many pages as it takes.

        Raises:
            CommandError: The API refused it or does not answer.
        """
        jobs: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            asked = min(count - len(jobs), _GROUPS)
            page = await self._client.read(self._path, group=group, limit=asked, cursor=cursor)
            jobs += page["jobs"]
            cursor = page["nextCursor"]
            if cursor is None or len(jobs) >= count:
                break
        self._printer.table(job_table(jobs))
        letters = "unknown" if page["letters"] is None else page["letters"]
        self._printer.say(
            f"{len(jobs)} of {page['failed']} failed jobs; messages in the dead-letter queue: {letters}"
        )

    async def groups(self) -> None:
        """Show the groups, the largest first.

        Raises:
            CommandError: The API refused it or does not answer.
        """
        found = await self._client.read(f"{self._path}/groups", limit=_GROUPS)
        self._printer.table(group_table(found["groups"]))
        self._printer.say(f"{found['grouped']} of {found['failed']} failed jobs are in these groups")

    async def report(self, *, as_json: bool) -> None:
        """Tell everything: counts, groups, letters of no job, redrives under way.

        Raises:
            CommandError: The API refused it or does not answer.
        """
        groups = await self._client.read(f"{self._path}/groups", limit=_GROUPS)
        redrives = await self._client.read(f"{self._path}/redrives")
        report = groups | {
            "foreign": await self._foreign(),
            "redrives": [each for each in redrives["redrives"] if each["state"] == "running"],
        }
        if as_json:
            self._printer.say(json.dumps(report, indent=2, ensure_ascii=False))
            return
        for line in report_lines(report):
            self._printer.say(line)

    async def _foreign(self) -> dict[str, Any] | None:
        """Return what is in the dead-letter queue that is no failed job's; None: it is out of reach."""
        try:
            found = await self._client.read(f"{self._path}/foreign")
        except CommandError:
            return None
        return {name: found[name] for name in ("letters", "lookedAt", "complete")}

    async def redrive(self, wanted: Wanted, *, wait: bool) -> int:
        """Order a redrive, and with `wait` see it through; return the exit code.

        Raises:
            CommandError: The API refused it or does not answer.
        """
        task = await self._client.order(f"{self._path}/redrive", wanted.body())
        self._printer.say(redrive_line(task))
        while wait and task["state"] == "running":
            await self._sleep(_POLL_SECONDS)
            newer = await self._client.read(f"{self._path}/redrives/{task['id']}")
            if newer != task:
                self._printer.say(redrive_line(newer))
            task = newer
        return FAILED if task["state"] == "cancelled" else 0

    async def redrives(self) -> None:
        """Show the newest redrives.

        Raises:
            CommandError: The API refused it or does not answer.
        """
        found: Sequence[dict[str, Any]] = (await self._client.read(f"{self._path}/redrives"))["redrives"]
        self._printer.table(redrive_table(found))

    async def cancel(self, redrive_id: str) -> None:
        """End a redrive.

        Raises:
            CommandError: The API refused it or does not answer.
        """
        path = f"{self._path}/redrives/{quote(redrive_id, safe='')}/cancel"
        self._printer.say(redrive_line(await self._client.order(path, {})))
