"""Shows that the harness can fail: each protection taken out in turn, and the fault found.

Every plan is run twice: with the product as it is, where nothing may be off, and with the mutant, where
a certain line of the account must be.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_chaos import selftest_plans as plans
from jobqueue_chaos.account import Account, account
from jobqueue_chaos.mutants import MUTANTS
from jobqueue_chaos.plan import Role
from jobqueue_chaos.report import keep_evidence
from jobqueue_chaos.world import opened_world

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from jobqueue_chaos.world import World

# A mutant may leave what never ends; the product must be through long before.
_MUTANT_SECONDS = 8.0
_CONTROL_SECONDS = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A mutant, the plan in which it shows, and the lines of the account where it does."""

    mutant: str
    role: Role
    plan: Callable[[World], Awaitable[None]]
    found_as: tuple[str, ...]
    workers: int = 1
    apis: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a case has shown.

    Attributes:
        found: offenders in the lines where the mutant has to show, with it.
        mutated: the account with it.
        control: the account without it; None: not run.

    """

    case: Case
    found: dict[str, tuple[str, ...]]
    mutated: Account
    control: Account | None
    seconds: float
    evidence: Path | None

    @property
    def is_shown(self) -> bool:
        """Whether the harness tells the mutant from the product."""
        return bool(self.found) and (self.control is None or self.control.is_clean)


CASES = (
    Case(
        mutant="no-token",
        role=Role.WORKER,
        plan=plans.frozen_in_mid_call,
        workers=2,
        found_as=("stale writes (history)", "stale writes (result)"),
    ),
    Case(
        mutant="answer-before-insert",
        role=Role.API,
        plan=plans.killed_after_the_answer,
        found_as=("accepted jobs lost",),
    ),
    Case(
        mutant="send-before-insert",
        role=Role.API,
        plan=plans.submitted,
        found_as=("jobs taken for somebody else's",),
    ),
    Case(
        mutant="settle-before-record",
        role=Role.WORKER,
        plan=plans.killed_before_the_record,
        found_as=("jobs called failed too early",),
    ),
    Case(
        mutant="no-heartbeat",
        role=Role.WORKER,
        plan=plans.longer_than_the_lease,
        workers=2,
        found_as=("leases lost without cause",),
    ),
    Case(
        mutant="stale-receipt",
        role=Role.WORKER,
        plan=plans.delivered_again,
        found_as=("messages left in the queues",),
    ),
    Case(
        mutant="relay-by-id",
        role=Role.API,
        plan=plans.relay_stands_still,
        apis=2,
        found_as=("second final states",),
    ),
)


async def show(case: Case, seed: int, *, with_control: bool) -> Shown:
    """Run a case with its mutant and, where asked, without."""
    began = time.monotonic()
    mutated, _ = await _run(case, seed, case.mutant)
    control, evidence = await _run(case, seed, None) if with_control else (None, None)
    found = {name: mutated.offenders(name) for name in case.found_as if mutated.offenders(name)}
    return Shown(
        case=case,
        found=found,
        mutated=mutated,
        control=control,
        seconds=time.monotonic() - began,
        evidence=evidence,
    )


async def _run(case: Case, seed: int, mutant: str | None) -> tuple[Account, Path | None]:
    async with opened_world(seed, jobs=100, apis=case.apis, workers=case.workers, ordered=0) as world:
        for slot in world.of_role(case.role):
            slot.mutant = mutant
        await case.plan(world)
        for slot in world.slots.values():
            slot.begin()
        facts = await world.concluded(_CONTROL_SECONDS if mutant is None else _MUTANT_SECONDS)
        verdict = account(facts)
        keep = mutant is None and not verdict.is_clean
        return verdict, keep_evidence(seed, facts, verdict, world.logs) if keep else None


async def show_all(
    names: Sequence[str], seed: int, told: Callable[[Shown], None], *, with_control: bool
) -> bool:
    """Run cases one after another (none named: all); tell of each; return whether all of them show."""
    is_good = True
    for case in CASES:
        if not names or case.mutant in names:
            shown = await show(case, seed, with_control=with_control)
            told(shown)
            is_good &= shown.is_shown
    return is_good


def show_selftest(console: Console, shown: Shown) -> None:
    """Print what a case has shown."""
    mutant = shown.case.mutant
    console.print(
        f"{MUTANTS[mutant].protection} taken out ({mutant}), {shown.seconds:.0f} s", highlight=False
    )
    for name, offenders in shown.found.items():
        console.print(f"  [green]found[/]: {name}: {offenders[0]}", highlight=False)
    if not shown.found:
        others = ", ".join(check.name for check in shown.mutated.faults) or "nothing at all"
        console.print(f"  [bold red]not found[/] as {' or '.join(shown.case.found_as)}; found: {others}")
    if shown.control is not None and shown.control.is_clean:
        console.print("  [green]clean[/] without the mutant")
    for check in shown.control.faults if shown.control is not None else ():
        console.print(
            f"  [bold red]off without the mutant[/]: {check.name}: {check.named()}", highlight=False
        )
    if shown.evidence is not None:
        console.print(f"  evidence: {shown.evidence}")
