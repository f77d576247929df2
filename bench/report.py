"""The results as JSON and as a table."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from bench.figures import Figure, Section
    from bench.machine import Machine

_FOLDER = Path(__file__).with_name("results")


def write_json(machine: Machine, sections: Sequence[Section], *, quick: bool, prefix: str = "") -> Path:
    """Write the results under the time of now and as the latest, both after a prefix; return the former."""
    now = datetime.now(UTC)
    content = {
        "at": now.isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine.as_json(),
        "sections": {section.name: _as_json(section) for section in sections},
    }
    _FOLDER.mkdir(exist_ok=True)
    path = _FOLDER / f"{prefix}{now:%Y%m%dT%H%M%SZ}.json"
    text = json.dumps(content, indent=2) + "\n"
    for each in (path, path.with_name(f"{prefix}latest.json")):
        each.write_text(text, encoding="utf-8")
    return path


def show(console: Console, sections: Sequence[Section]) -> None:
    """Print the table; as plain lines where nobody sees a terminal."""
    figures = [figure for section in sections for figure in section.figures]
    if console.is_terminal:
        table = Table("what", "measured", "goal", "beside it, in the same run", "", show_lines=True)
        for figure in figures:
            style = {True: "green", False: "red", None: ""}[figure.met]
            verdict = _verdict(figure)
            table.add_row(figure.what, figure.measured, figure.goal, figure.beside, verdict, style=style)
        console.print(table)
        return
    for figure in figures:
        verdict = _verdict(figure)
        print(f"{figure.what}: {figure.measured}" + (f"  [{verdict}]" if verdict else ""))
        for label, text in (("goal", figure.goal), ("beside it", figure.beside)):
            if text:
                print(f"    {label}: {text}")


def _verdict(figure: Figure) -> str:
    return {True: "met", False: "not met", None: ""}[figure.met]


def _as_json(section: Section) -> dict[str, object]:
    return {
        "figures": [asdict(figure) for figure in section.figures],
        "lost": list(section.lost),
        "measured": section.details,
    }
