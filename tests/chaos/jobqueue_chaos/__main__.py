"""Run the chaos harness: `python -m jobqueue_chaos [storm] [repair] [relay] [rolling] [--quick] [--seed N]`.

Needs no Docker and no network; a full disk needs root. The exit code is 1 when anything is off.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from jobqueue_chaos.figures import Measured, show_figures
from jobqueue_chaos.mutants import MUTANTS
from jobqueue_chaos.plan import Kind
from jobqueue_chaos.profile import LONG, QUICK, SHORT
from jobqueue_chaos.report import show_storm, storm_json, write_json
from jobqueue_chaos.scenarios import relay, repair, rolling
from jobqueue_chaos.selftest import show_all, show_selftest
from jobqueue_chaos.storm import storm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECTIONS = ("storm", "repair", "relay", "rolling")
SELFTEST = "selftest"
_WIDTH = 110


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jobqueue_chaos", description=__doc__.split("\n")[0])
    parser.add_argument(
        "sections", nargs="*", help=f"of {', '.join(SECTIONS)} (none: all of them); or {SELFTEST}"
    )
    parser.add_argument("--quick", action="store_true", help="shorter: 1,500 jobs and outages of 6 s")
    parser.add_argument(
        "--short", action="store_true", help="shortest: 120 jobs and outages of 2 s; mutants only"
    )
    parser.add_argument("--seed", type=int, help="of everything; left out: a random one, which is printed")
    parser.add_argument("--jobs", type=int, help="of the storm")
    kinds = ", ".join(kind.option for kind in Kind)
    parser.add_argument("--mutants", help=f"of the {SELFTEST}, separated by commas, of {', '.join(MUTANTS)}")
    parser.add_argument("--only", help=f"faults of the storm, separated by commas, of {kinds}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; return the exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    known = (*SECTIONS, SELFTEST)
    unknown = set(asked.sections) - set(known)
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    asked.mutant_names = tuple(name for name in (asked.mutants or "").split(",") if name)
    if set(asked.mutant_names) - MUTANTS.keys():
        parser.error(f"--mutants: there are {', '.join(MUTANTS)}")
    by_option = {kind.option: kind for kind in Kind}
    wanted = [name for name in (asked.only or "").split(",") if name]
    if set(wanted) - by_option.keys():
        parser.error(f"--only: there are {', '.join(by_option)}")
    asked.kinds = [by_option[name] for name in wanted] or None
    asked.seed = random.SystemRandom().randrange(1, 10**6) if asked.seed is None else asked.seed
    asked.sections = [name for name in known if name in asked.sections] or list(SECTIONS)
    console = Console(width=max(_WIDTH, Console().width if sys.stdout.isatty() else 0))
    try:
        return asyncio.run(_run(asked, console))
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("interrupted; nothing is left behind")
        return 130


async def _run(asked: argparse.Namespace, console: Console) -> int:
    task = asyncio.current_task()
    if task is not None:
        # Everything is ended and removed on the way out.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    console.print(f"seed {asked.seed}; {os.cpu_count()} cores, load {load}", highlight=False)
    began = time.monotonic()
    off = [name for name in asked.sections if not await _section(name, asked, console)]
    console.print(f"{time.monotonic() - began:.0f} s in all")
    size = "".join(f" --{name}" for name in ("quick", "short") if getattr(asked, name))
    rest = "".join(
        f" --{name} {value}" for name in ("jobs", "only", "mutants") if (value := getattr(asked, name))
    )
    names = " ".join(asked.sections)
    console.print(f'repeat: make chaos SEED={asked.seed} ARGS="{names}{size}{rest}"', highlight=False)
    if off:
        console.print(f"[bold red]off: {', '.join(off)}[/]")
        return 1
    console.print("[bold green]everything accounted for[/]")
    return 0


async def _section(name: str, asked: argparse.Namespace, console: Console) -> bool:
    began = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {line}", highlight=False)

    console.rule(name, align="left")
    if name == SELFTEST:
        return await show_all(
            asked.mutant_names,
            asked.seed,
            lambda shown: show_selftest(console, shown),
            with_control=not asked.short,
        )
    if name == "storm":
        return await _storm(asked, console, tell)
    if name == "repair":
        measured = await repair(asked.seed, tell, rounds=2 if asked.quick or asked.short else 5)
    elif name == "relay":
        jobs, seconds = (300, 8.0) if asked.quick or asked.short else (5000, 60.0)
        measured = await relay(asked.seed, tell, jobs=jobs, outage_seconds=seconds)
    else:
        measured = await rolling(asked.seed, tell, restarts=6 if asked.quick or asked.short else 50)
    return _show(name, asked.seed, measured, console)


async def _storm(asked: argparse.Namespace, console: Console, tell: Callable[[str], None]) -> bool:
    profile = SHORT if asked.short else QUICK if asked.quick else LONG
    if asked.jobs:
        profile = replace(profile, jobs=asked.jobs)
    outcome = await storm(asked.seed, profile, tell, asked.kinds)
    show_storm(console, outcome)
    console.print(f"{outcome.seconds:.0f} s; {write_json('storm', asked.seed, storm_json(outcome))}")
    if outcome.evidence is not None:
        console.print(f"evidence: {outcome.evidence}")
    return outcome.is_clean


def _show(name: str, seed: int, measured: Measured, console: Console) -> bool:
    show_figures(console, measured)
    console.print(f"{measured.seconds:.0f} s; {write_json(name, seed, measured.as_json())}")
    if measured.evidence is not None:
        console.print(f"evidence: {measured.evidence}")
    return measured.is_clean


if __name__ == "__main__":
    sys.exit(main())
