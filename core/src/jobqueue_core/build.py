"""Which build this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def build_version() -> str:
    """Return the installed version of the product."""
    try:
        return version("jobqueue-core")
    except PackageNotFoundError:
        return "unknown"
