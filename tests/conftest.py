"""Marks every test with its tier, the folder below tests/ that it lies in, and loads the shared fixtures."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from jobqueue_testsupport.report import REPORT

TESTS = Path(__file__).parent
CLUSTER = TESTS / "cluster"
TIERS = ("unit", "contract", "integration", "cluster", "e2e", "chaos")

pytest_plugins = ["jobqueue_testsupport.fixtures"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests that need a Kubernetes API server, unless their folder is named; and say so."""
    if collection_path != CLUSTER:
        return None
    named = [Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in config.args]
    if any(path.is_relative_to(CLUSTER) for path in named):
        return None
    if any(CLUSTER.is_relative_to(path) for path in named):
        config.stash[REPORT].not_run["tests/cluster"] = "`make test-cluster` runs it"
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder, and run the fast tiers first.

    Raises:
        pytest.UsageError: a test lies in none of the tiers' folders.
    """
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        if tier not in TIERS:
            message = f"{item.nodeid}: tests lie in tests/{{{','.join(TIERS)}}}"
            raise pytest.UsageError(message)
        item.add_marker(tier)
    items.sort(key=lambda item: TIERS.index(item.path.relative_to(TESTS).parts[0]))


def pytest_collection_finish() -> None:
    """Take what collection has made out of the garbage collector's sight.

    Some hundred thousand objects that live to the end would be walked by every full collection:
    a tenth of the run.
    """
    gc.collect()
    gc.freeze()
