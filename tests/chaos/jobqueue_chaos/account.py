"""From the facts of a run to its verdict: every job accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_chaos import attempts, order, recurring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobqueue_chaos.facts import Facts, Submitted

# So many offenders are named; the JSON file has all.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the account: what must be none, and what was found instead."""

    name: str
    offenders: tuple[str, ...]

    @property
    def is_met(self) -> bool:
        """Whether there is none."""
        return not self.offenders

    def named(self) -> str:
        """Return the first offenders."""
        more = len(self.offenders) - _NAMED
        return "; ".join(self.offenders[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Account:
    """The verdict on a run."""

    checks: tuple[Check, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is off."""
        return all(check.is_met for check in self.checks)

    @property
    def faults(self) -> tuple[Check, ...]:
        """The lines that are off."""
        return tuple(check for check in self.checks if not check.is_met)

    def offenders(self, name: str) -> tuple[str, ...]:
        """Return what one line found."""
        return next(check.offenders for check in self.checks if check.name == name)


def account(facts: Facts) -> Account:
    """Judge a run."""
    lines = {
        "submissions never accepted": _never_accepted(facts),
        "accepted jobs lost": _lost(facts),
        "keys with more than one job": _doubled(facts),
        "jobs that nobody submitted": _extra(facts),
        "jobs not final": _unfinished(facts),
        "second final states": _second_finals(facts),
        "calls beyond maxAttempts": attempts.beyond_limit(facts),
        "attempts called twice": attempts.called_twice(facts),
        "calls with another key than the job's id": attempts.wrong_keys(facts),
        "stale writes (history)": attempts.broken_histories(facts),
        "stale writes (result)": attempts.stale_results(facts),
        "attempts fewer than calls": attempts.uncounted(facts),
        "FAILED without cause": attempts.failed_without_cause(facts),
        "leases lost without cause": attempts.lost_without_cause(facts),
        "FAILED jobs without a dead letter": _unlettered(facts),
        "dead letters of jobs that did not fail": _undeserved_letters(facts),
        "dead letters that name no job": tuple(facts.strange_letters),
        "jobs taken for somebody else's": tuple(sorted(facts.strangers & facts.documents.keys())),
        "jobs called failed too early": _buried_alive(facts),
        "messages left in the queues": tuple(f"{name}: {n}" for name, n in facts.left.items() if n),
        "debts left to the relay": _debts(facts),
        "ordered jobs out of order": order.out_of_order(facts),
        "due times of the schedule without a job of their own": recurring.wrong_due_times(facts),
        "processes that ended by themselves": _crashes(facts),
    }
    return Account(tuple(Check(name, tuple(offenders)) for name, offenders in lines.items()))


def _accepted(facts: Facts) -> Iterator[tuple[str, Submitted]]:
    for job in facts.submitted.values():
        if job.job_id is not None:
            yield job.job_id, job


def _never_accepted(facts: Facts) -> list[str]:
    return [
        f"{key} ({job.refusal or f'{job.tries} tries'})"
        for key, job in facts.submitted.items()
        if job.job_id is None
    ]


def _lost(facts: Facts) -> list[str]:
    return [
        f"{job_id} ({job.spec.kind})" for job_id, job in _accepted(facts) if job_id not in facts.documents
    ]


def _doubled(facts: Facts) -> list[str]:
    return [
        f"{key}: {', '.join(job.job_ids)}" for key, job in facts.submitted.items() if len(job.job_ids) > 1
    ]


def _extra(facts: Facts) -> list[str]:
    accepted = {job_id for job_id, _ in _accepted(facts)}
    return [
        job_id
        for job_id, document in facts.documents.items()
        if job_id not in accepted and not recurring.is_recurring(document)
    ]


def _unfinished(facts: Facts) -> list[str]:
    return [
        f"{job_id} ({document['phase']}, {document['attempts']} attempts)"
        for job_id, document in facts.documents.items()
        if document["status"] == "PENDING"
    ]


def _second_finals(facts: Facts) -> list[str]:
    return [f"{one.job_id}: {one.before}, then {one.after}" for one in facts.rewritten]


def _unlettered(facts: Facts) -> list[str]:
    return [
        job_id
        for job_id, document in facts.documents.items()
        if document["status"] == "FAILED"
        and not (facts.letters.get(job_id) or facts.letters_before.get(job_id))
    ]


def _buried_alive(facts: Facts) -> tuple[str, ...]:
    """Return the jobs that had a dead letter and have never failed.

    One that failed and was run again has more attempts in its history than in its newest run.
    """
    return tuple(
        job_id
        for job_id in sorted(facts.buried & facts.documents.keys())
        if facts.documents[job_id]["status"] != "FAILED"
        and len(facts.documents[job_id]["history"]) <= facts.documents[job_id]["attempts"]
    )


def _undeserved_letters(facts: Facts) -> list[str]:
    retried = {job_id for job_id, job in _accepted(facts) if job.spec.is_retried}
    return [
        f"{job_id} ({facts.documents[job_id]['status'] if job_id in facts.documents else 'no such job'})"
        for job_id in facts.letters
        # The letter of a failed run stays when the job is retried by hand.
        if job_id not in retried and facts.documents.get(job_id, {}).get("status") != "FAILED"
    ]


def _debts(facts: Facts) -> list[str]:
    return [
        f"{job_id} ({document['phase']})"
        for job_id, document in facts.documents.items()
        if document["status"] != "PENDING" and document.get("dueAt") is not None
    ]


def _crashes(facts: Facts) -> list[str]:
    return [
        f"{death.process} ({death.how}, exit code {death.code})"
        for death in facts.deaths
        if death.how in ("ended by itself", "did not end") or (death.how == "stopped" and death.code != 0)
    ]
