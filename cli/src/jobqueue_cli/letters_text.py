"""Failed jobs, groups and redrives in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobqueue_cli.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Document = Mapping[str, Any]


def job_table(jobs: Sequence[Document]) -> Table:
    """Return failed jobs, one a row."""
    rows = [
        (
            job["id"],
            job["finishedAt"] or "-",
            f"{job['numberOfAttempts']}/{job['maxAttempts']}",
            _text((job["lastError"] or {}).get("code")),
            _text((job["lastError"] or {}).get("fingerprint")),
            _line((job["lastError"] or {}).get("message")),
        )
        for job in jobs
    ]
    return Table(("JOB", "FAILED AT", "ATTEMPTS", "CODE", "GROUP", "ERROR"), rows)


def group_table(groups: Sequence[Document]) -> Table:
    """Return groups, one a row."""
    rows = [
        (
            str(group["count"]),
            group["fingerprint"],
            _text(group["code"]),
            group["firstFailedAt"],
            group["lastFailedAt"],
            _line(group["message"]),
        )
        for group in groups
    ]
    return Table(("JOBS", "GROUP", "CODE", "FIRST FAILED", "LAST FAILED", "ERROR"), rows)


def redrive_table(redrives: Sequence[Document]) -> Table:
    """Return redrives, one a row."""
    rows = [
        (
            each["id"],
            each["state"],
            str(each["moved"]),
            str(each["skipped"]),
            "-" if each["perSecond"] is None else f"{each['perSecond']:g}",
            each["createdAt"],
            _chosen(each),
        )
        for each in redrives
    ]
    return Table(("REDRIVE", "STATE", "MOVED", "SKIPPED", "PER SECOND", "ORDERED AT", "JOBS"), rows)


def redrive_line(task: Document) -> str:
    """Return how far a redrive is."""
    return (
        f"redrive {task['id']} of {_chosen(task)}: {task['state']}, "
        f"{task['moved']} run again, {task['skipped']} skipped"
    )


def report_lines(report: Document) -> Iterator[str]:
    """Yield the report for people."""
    letters = "an unknown number of" if report["letters"] is None else report["letters"]
    yield (
        f"dead letters of {report['queue']}: {report['failed']} failed jobs, "
        f"{letters} messages in the dead-letter queue"
    )
    for group in report["groups"]:
        yield ""
        yield from _group_lines(group)
    rest = report["failed"] - report["grouped"]
    if rest > 0:
        yield ""
        yield f"{rest} failed jobs are in none of these groups"
    yield from _foreign_lines(report["foreign"])
    for task in report["redrives"]:
        yield ""
        yield redrive_line(task)


def _group_lines(group: Document) -> Iterator[str]:
    yield f"{group['count']} × {_line(group['message']) or 'unknown'}"
    yield f"  group      {group['fingerprint']}"
    yield f"  failed     {group['firstFailedAt']} to {group['lastFailedAt']}"
    told = [f"code {group['code']}"] if group["code"] is not None else ["no answer"]
    if group["attempts"] is not None:
        told.append(f"{group['attempts']} attempts")
    if group["deaths"]:
        told.append(f"{group['deaths']} workers died of it")
    if group["lastStep"] is not None:
        told.append(f"last step {group['lastStep']}")
    yield f"  newest     {', '.join(told)}"
    yield f"  for one    {', '.join(group['sampleJobIds'])}"


def _foreign_lines(foreign: Document | None) -> Iterator[str]:
    if foreign is None:
        yield ""
        yield "the dead-letter queue itself could not be looked at"
        return
    if foreign["letters"]:
        yield ""
        yield f"messages of no failed job, among {foreign['lookedAt']} that were looked at:"
    for letter in foreign["letters"]:
        job = f"job {letter['jobId']}" if letter["jobId"] else f"body {letter['body']!r}"
        yield f"  {letter['messageId']}  {letter['receives']} receives  {job}: {_line(letter['reason'])}"


def _chosen(task: Document) -> str:
    if task["group"] is not None:
        return f"group {task['group']}"
    return "all failed jobs" if task["jobIds"] is None else f"{len(task['jobIds'])} jobs"


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _line(value: object) -> str:
    """Return a text in one line."""
    return "" if value is None else " ".join(str(value).split())
