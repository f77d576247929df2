"""What the end of a run says of the servers it used and of what it could not run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import NoReturn


@dataclass(slots=True)
class BackendReport:
    """Servers used, by what they stand for, and checks that were not run, with the reason."""

    used: dict[str, str] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)

    def skip(self, what: str, why: str) -> NoReturn:
        """Skip the running test, and say so by name at the end of the run."""
        self.not_run[what] = why
        pytest.skip(f"{what}: not run, {why}")

    def lines(self) -> list[str]:
        """Return the lines to print."""
        return [
            *(f"{role}: {server}" for role, server in sorted(self.used.items())),
            *(f"{what}: not run, {why}" for what, why in sorted(self.not_run.items())),
        ]


REPORT = pytest.StashKey[BackendReport]()
