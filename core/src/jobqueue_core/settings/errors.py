"""What is wrong with the settings: every problem at once, a line each."""

from __future__ import annotations

from dataclasses import dataclass

_GOT_MAX = 60


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One thing that is wrong.

    Attributes:
        path: The dotted setting, or the file or variable where there is none.
        rule: What must hold.
        got: The value at fault as shown to people; None where it is secret or there is none.
        source: Where the value comes from, where that is known.
    """

    path: str
    rule: str
    got: str | None = None
    source: str | None = None

    def __str__(self) -> str:
        got = f" (got {self.got})" if self.got is not None else ""
        source = f" [from {self.source}]" if self.source is not None else ""
        return _one_line(f"{self.path}: {self.rule}{got}{source}")


class SettingsError(Exception):
    """The settings cannot be used; `errors` says everything that is wrong with them."""

    def __init__(self, errors: tuple[SettingProblem, ...]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


def shown(value: object) -> str | None:
    """Return a value as an error shows it: None for what is no single value, or may hold a credential."""
    if not isinstance(value, (str, bool, int, float)):
        return None
    if (
        isinstance(value, str) and "@" in value
    ):  # a URL with user and password is the likeliest misplaced secret
        return None
    text = (
        repr(value)
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
    return text if len(text) <= _GOT_MAX else text[: _GOT_MAX - 1] + "…"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
