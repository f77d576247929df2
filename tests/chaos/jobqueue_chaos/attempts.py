"""The account of attempts: what was called, counted, written, and by whom."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobqueue_chaos.profile import MAX_DEATHS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from jobqueue_chaos.facts import Call, Facts

# A lease that could not be extended runs out this much after the fault has ended, at the latest.
_AFTERMATH = timedelta(seconds=8)


def calls_by_job(facts: Facts) -> dict[str, list[Call]]:
    """Return the calls of each job, in order."""
    found: dict[str, list[Call]] = defaultdict(list)
    for call in facts.calls:
        found[call.job_id].append(call)
    return found


def beyond_limit(facts: Facts) -> list[str]:
    """Find jobs with more calls in one run than they may have."""
    counted = Counter((call.job_id, call.run) for call in facts.calls)
    return [
        f"{job_id}: {number} calls of {facts.documents[job_id]['maxAttempts']} in run {run + 1}"
        for (job_id, run), number in counted.items()
        if job_id in facts.documents and number > facts.documents[job_id]["maxAttempts"]
    ]


def called_twice(facts: Facts) -> list[str]:
    """Find attempts that two processes have called under one number."""
    counted = Counter((call.job_id, call.run, call.attempt) for call in facts.calls)
    return [
        f"{job_id}: attempt {attempt} called {number} times"
        for (job_id, _, attempt), number in counted.items()
        if number > 1
    ]


def wrong_keys(facts: Facts) -> list[str]:
    """Find calls whose idempotency key is not the job's id."""
    return [call.job_id for call in facts.calls if call.idempotency_key != call.job_id]


def runs_of(history: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Return the attempt numbers of a history, run by run: a new one begins with each 1."""
    runs: list[list[int]] = []
    for entry in history:
        if entry["number"] == 1 or not runs:
            runs.append([])
        runs[-1].append(entry["number"])
    return runs


def broken_histories(facts: Facts) -> list[str]:
    """Find histories that do not count 1, 2, … n in each run, n being the attempts of the last one."""
    retries = {job.job_id: job.retries for job in facts.submitted.values()}
    found: list[str] = []
    for job_id, document in facts.documents.items():
        runs = runs_of(document["history"])
        counts = all(run == list(range(1, len(run) + 1)) for run in runs)
        reached = len(runs[-1]) if runs else 0
        ends = document["status"] not in ("SUCCESS", "FAILED") or reached == document["attempts"]
        if not counts or not ends or len(runs) > 1 + retries.get(job_id, 0):
            found.append(f"{job_id}: attempts {document['attempts']}, history {runs}")
    return found


def stale_results(facts: Facts) -> list[str]:
    """Find jobs whose result is the answer to another attempt than the one that counts."""
    found: list[str] = []
    answered = {(call.job_id, call.attempt) for call in facts.calls if call.code == 200}
    for job_id, document in facts.documents.items():
        if document["status"] != "SUCCESS":
            continue
        result = document.get("result") or {}
        attempt = json.loads(result.get("body") or "{}").get("attempt")
        if attempt != document["attempts"]:
            found.append(f"{job_id}: result of attempt {attempt}, attempts {document['attempts']}")
        elif (job_id, attempt) not in answered:
            found.append(f"{job_id}: nobody answered attempt {attempt}")
    return found


def uncounted(facts: Facts) -> list[str]:
    """Find jobs that count fewer attempts than were called in their last run."""
    found: list[str] = []
    for job_id, calls in calls_by_job(facts).items():
        document = facts.documents.get(job_id)
        if document is None:
            continue
        last = max(call.run for call in calls)
        highest = max(call.attempt for call in calls if call.run == last)
        if highest > document["attempts"]:
            found.append(f"{job_id}: attempt {highest} was called, {document['attempts']} are counted")
    return found


def last_run(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the history of the last run."""
    history = document["history"]
    runs = runs_of(history)
    return list(history[len(history) - len(runs[-1]) :]) if runs else []


def failed_without_cause(facts: Facts) -> list[str]:
    """Find FAILED jobs that the service has not refused and that have attempts left."""
    return [
        f"{job_id}: {document['attempts']} of {document['maxAttempts']} attempts, {document['lastError']}"
        for job_id, document in facts.documents.items()
        if document["status"] == "FAILED"
        and document["attempts"] < document["maxAttempts"]
        and not any(entry["outcome"] == "rejected" for entry in last_run(document))
        and not _is_isolated(document)
    ]


def _is_isolated(document: Mapping[str, Any]) -> bool:
    """Whether the job took as many workers with it, one after another, as it may."""
    outcomes = [entry["outcome"] for entry in last_run(document)][-MAX_DEATHS:]
    return outcomes == ["lost"] * MAX_DEATHS


def lost_without_cause(facts: Facts) -> list[str]:
    """Find attempts that were given up as lost although nothing had happened to their worker."""
    hurt: dict[str, datetime] = {}
    for death in facts.deaths:
        hurt[death.process] = min(death.wall, hurt.get(death.process, death.wall))
    cancelled = {job.job_id for job in facts.submitted.values() if job.cancelled}
    return [
        f"{job_id}: attempt {entry['number']} of {entry['worker']}"
        for job_id, document in facts.documents.items()
        if job_id not in cancelled
        for entry in _lost(document)
        if not _was_hurt(hurt, entry) and not _in_trouble(facts, entry)
    ]


def _was_hurt(hurt: Mapping[str, datetime], entry: Mapping[str, Any]) -> bool:
    at = hurt.get(entry["worker"])
    return at is not None and at <= entry["finishedAt"]


def _lost(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (entry for entry in document["history"] if entry["outcome"] == "lost")


def _in_trouble(facts: Facts, entry: Mapping[str, Any]) -> bool:
    return any(
        trouble.began_wall <= entry["finishedAt"] and entry["startedAt"] <= trouble.ended_wall + _AFTERMATH
        for trouble in facts.troubles
    )
