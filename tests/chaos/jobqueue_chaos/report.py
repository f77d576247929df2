"""A storm's results: tables for people, JSON for machines, and evidence of what is off."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobqueue_chaos.plan import Role, places_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from jobqueue_chaos.account import Account
    from jobqueue_chaos.facts import Facts
    from jobqueue_chaos.storm import Storm

RESULTS = Path(__file__).parents[3] / "bench" / "results"
_JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def show_storm(console: Console, storm: Storm) -> None:
    """Print everything of a storm."""
    _show_faults(console, storm)
    _show_kills(console, storm)
    _show_jobs(console, storm.facts)
    show_account(console, storm.account)
    for kind, why in storm.not_run.items():
        console.print(f"not run: {kind}: {why}")
    if storm.missing:
        console.print(f"failpoints that killed nobody: {', '.join(storm.missing)}")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _show_faults(console: Console, storm: Storm) -> None:
    table = _table("Faults", "kind", "times", "seconds", "recovery, seconds")
    by_kind = defaultdict(list)
    for trouble in storm.facts.troubles:
        by_kind[trouble.kind].append(trouble)
    for kind, troubles in by_kind.items():
        recoveries = [one.recovery_seconds for one in troubles if one.recovery_seconds is not None]
        table.add_row(
            kind,
            str(len(troubles)),
            f"{sum(one.ended - one.began for one in troubles):.0f}",
            f"{max(recoveries):.1f}" if len(recoveries) == len(troubles) else "none seen",
        )
    for what, number in storm.mishaps.items():
        table.add_row(what, str(number), "", "")
    console.print(table)
    console.print("recovery: from the fault's end to the next call of the external service\n")


def _show_kills(console: Console, storm: Storm) -> None:
    table = _table(f"kill -9: {storm.kills}", "failpoint", "kills", "failpoint", "kills")
    rows = [(place, str(storm.by_place[place])) for role in Role for place in places_of(role)]
    rows.append(("at any other moment", str(storm.random_kills)))
    half = (len(rows) + 1) // 2
    for number in range(half):
        right = rows[half + number] if half + number < len(rows) else ("", "")
        table.add_row(*rows[number], *right)
    console.print(table)
    console.print()


def _show_jobs(console: Console, facts: Facts) -> None:
    table = _table("Jobs by what the service does to them", "kind", "jobs", "SUCCESS", "FAILED", "CANCELLED")
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for job in facts.submitted.values():
        document = facts.documents.get(job.job_id or "", {})
        by_kind[job.spec.kind][document.get("status", "none")] += 1
    for kind, statuses in sorted(by_kind.items()):
        counts = [str(statuses[status]) for status in ("SUCCESS", "FAILED", "CANCELLED")]
        table.add_row(kind, str(statuses.total()), *counts)
    console.print(table)
    for name, number in figures(facts).items():
        console.print(f"{name}: {number}")
    console.print()


def figures(facts: Facts) -> dict[str, int]:
    """Return the numbers of a run that are neither right nor wrong."""
    outcomes = Counter(entry["outcome"] for one in facts.documents.values() for entry in one["history"])
    healthy = {job.job_id for job in facts.submitted.values() if job.spec.is_healthy}
    return {
        "accepted": sum(1 for job in facts.submitted.values() if job.job_id is not None),
        "submissions that got no answer, and were repeated": sum(
            job.unanswered for job in facts.submitted.values()
        ),
        "calls of the external service": len(facts.calls),
        "attempts lost with their workers": outcomes["lost"],
        "attempts given back at a stop": outcomes["released"],
        "messages sent": sum(facts.sends.values()),
        "messages sent more than once": sum(number - 1 for number in facts.sends.values()),
        "dead letters": sum(facts.letters.values()),
        "dead letters more than once": sum(number - 1 for number in facts.letters.values()),
        "healthy jobs FAILED (all attempts lost)": sum(
            1 for job_id in healthy if facts.documents.get(job_id or "", {}).get("status") == "FAILED"
        ),
    }


def show_account(console: Console, account: Account) -> None:
    """Print the account, line by line."""
    table = _table("Account: everything must be 0", "what", "found")
    for check in account.checks:
        table.add_row(check.name, "0" if check.is_met else f"[bold red]{len(check.offenders)}[/]")
    console.print(table)
    for check in account.faults:
        console.print(f"[bold red]{check.name}[/]: {check.named()}", highlight=False)


def write_json(name: str, seed: int, content: dict[str, Any]) -> Path:
    """Write results under the time of now; return where."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"chaos-{name}-{now:%Y%m%dT%H%M%S}-{seed}.json"
    path.write_text(
        json.dumps({"at": now.isoformat(), "seed": seed, **content}, indent=1, default=str) + "\n"
    )
    return path


def storm_json(storm: Storm) -> dict[str, Any]:
    """Return what the JSON file says of a storm."""
    return {
        "seconds": storm.seconds,
        "account": {check.name: list(check.offenders) for check in storm.account.checks},
        "figures": figures(storm.facts),
        "kills": {**storm.by_place, "random": storm.random_kills},
        "mishaps": storm.mishaps,
        "troubles": [asdict(trouble) for trouble in storm.facts.troubles],
        "not run": storm.not_run,
        "failpoints that killed nobody": storm.missing,
    }


def keep_evidence(seed: int, facts: Facts, account: Account, logs: Path) -> Path:
    """Copy the logs, and everything of the jobs that are off; return the folder."""
    folder = RESULTS / f"chaos-evidence-{datetime.now(UTC):%Y%m%dT%H%M%S}-{seed}"
    shutil.copytree(logs, folder)
    named = {
        job_id for check in account.faults for text in check.offenders for job_id in _JOB_ID.findall(text)
    }
    (folder / "jobs.json").write_text(json.dumps(_of_jobs(facts, named), indent=1, default=str) + "\n")
    (folder / "deaths.json").write_text(
        json.dumps([asdict(death) for death in facts.deaths], indent=1, default=str) + "\n"
    )
    return folder


def _of_jobs(facts: Facts, job_ids: Iterable[str]) -> dict[str, Any]:
    submitted = {job.job_id: job for job in facts.submitted.values()}
    return {
        job_id: {
            "document": facts.documents.get(job_id),
            "submitted": asdict(submitted[job_id]) if job_id in submitted else None,
            "calls": [asdict(call) for call in facts.calls if call.job_id == job_id],
            "sends": facts.sends.get(job_id, 0),
            "letters": facts.letters.get(job_id, 0),
        }
        for job_id in sorted(job_ids)
    }
