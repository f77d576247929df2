from __future__ import annotations

import pytest

from jobqueue_testsupport.relay_world import World


@pytest.fixture
def world() -> World:
    """A store, two queues and a relay, all fakes."""
    return World()
