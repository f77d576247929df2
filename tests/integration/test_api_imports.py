"""What an API process loads: the client of Kubernetes only where it is wanted, it costs 0.7 s and 49 MB."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = """
import asyncio, sys
import jobqueue_api.main
from jobqueue_api.bootstrap import opened
from jobqueue_core.settings.load import load_or_exit

async def run() -> None:
    async with opened(load_or_exit()):
        pass

asyncio.run(run())
print("kubernetes" in sys.modules)
"""


@pytest.mark.parametrize("wanted", [False, True])
def test_the_client_of_kubernetes_is_loaded_where_it_is_wanted(
    wanted: bool,  # noqa: FBT001 - a parameter of the test
    use_aws: Callable[[str], None],
    tmp_path: Path,
) -> None:
    use_aws("http://127.0.0.1:1")
    (tmp_path / "application.yaml").write_text("{}")
    done = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-c", PROGRAM],
        env={
            **os.environ,
            "JOBQUEUE_CONFIG_DIR": str(tmp_path),
            "JOBQUEUE_MONGODB__URI": "mongodb://127.0.0.1:1/",
            "JOBQUEUE_API__KUBERNETES__ENABLED": str(wanted).lower(),
            # No cluster: the process works without one.
            "KUBECONFIG": str(tmp_path / "nosuch"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(wanted)
    assert ("the queues of JobQueues stay unknown" in done.stdout) is wanted
