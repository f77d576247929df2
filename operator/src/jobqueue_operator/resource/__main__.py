"""Writes what is made from the model: the definition of the resource for the chart, and its reference.

`python -m jobqueue_operator.resource --write` writes both, `--check` fails where one is out of date; from the
root of the repository.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jobqueue_operator.resource.crd import manifest
from jobqueue_operator.resource.reference import reference

DEFINITION = Path("charts/jobqueue/files/jobqueues.jobqueue.dev.yaml")
REFERENCE = Path("docs/reference/jobqueue.md")


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check that they are up to date; returns the exit code."""
    parser = argparse.ArgumentParser(description="The definition of the JobQueue resource and its reference.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the files")
    mode.add_argument("--check", action="store_true", help="fail where a file is out of date")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: where you are)")
    options = parser.parse_args(arguments)
    root: Path = options.root
    stale = [
        (path, text)
        for path, text in ((DEFINITION, manifest()), (REFERENCE, reference()))
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        if options.check:
            sys.stderr.write(f"{path} is out of date: make crd\n")
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
