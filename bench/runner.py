"""Runs the sections that are asked for, one after the other, and shows what they found."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console

from bench.figures import BenchError
from bench.machine import Neighbours, this_machine
from bench.report import show, write_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bench.figures import Section
    from bench.machine import Machine

_FAILED = 1
_INTERRUPTED = 130
# Of all cores together: more than this shows in the figures.
_BUSY_CORES = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmarks:
    """Sections that are run together.

    Attributes:
        program: how it is called on the command line.
        description: what it does, for `--help`.
        results: what the names of its results begin with.

    """

    program: str
    description: str | None
    sections: Mapping[str, Callable[..., Awaitable[Section]]]
    results: str = ""

    def main(self) -> int:
        """Measure what is asked; a goal that is not met is no failure, a job that is lost is one."""
        parser = argparse.ArgumentParser(prog=self.program, description=self.description)
        names = ", ".join(self.sections)
        parser.add_argument("sections", nargs="*", metavar="section", help=f"of {names}; all")
        parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a first look")
        arguments = parser.parse_args()
        unknown = [name for name in arguments.sections if name not in self.sections]
        if unknown:
            parser.error(f"no section {', '.join(unknown)}; there are {names}")
        machine, console = this_machine(), Console(highlight=False)
        console.print(machine.line(), soft_wrap=True)
        if machine.is_busy:
            console.print("Other programs are at work on this machine: the ratios may lie.", style="yellow")
        asked = arguments.sections or list(self.sections)
        try:
            return uvloop.run(self._run(asked, machine, console, quick=arguments.quick))
        except (asyncio.CancelledError, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
            return _INTERRUPTED

    async def _run(self, names: Sequence[str], machine: Machine, console: Console, *, quick: bool) -> int:
        task = asyncio.current_task()
        if task is not None:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        sections: list[Section] = []
        failed = False
        for name in names:
            console.print(f"measuring: {name} …", style="dim")
            neighbours = Neighbours()
            try:
                section = await self.sections[name](quick=quick)
            except BenchError as error:
                failed = True
                print(f"{name} could not be measured: {error}", file=sys.stderr)
                continue
            cores = neighbours.cores()
            if cores > _BUSY_CORES:
                console.print(
                    f"{name}: other programs kept {cores:.1f} cores busy meanwhile.", style="yellow"
                )
            sections.append(replace(section, details={**section.details, "cores_of_other_programs": cores}))
        if sections:
            show(console, sections)
            path = write_json(machine, sections, quick=quick, prefix=self.results)
            console.print(f"written: {path}", soft_wrap=True)
        for section in sections:
            for what in section.lost:
                failed = True
                print(f"{section.name}: jobs are not accounted for: {what}", file=sys.stderr)
        return _FAILED if failed else 0
