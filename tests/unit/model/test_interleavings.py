"""The races of the protocol, in every order of their steps, and with a death after each step."""

from __future__ import annotations

import pytest

from jobqueue_testsupport.model.interleavings import Situation, explore
from jobqueue_testsupport.model.situations import SITUATIONS


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_no_order_breaks_a_promise(situation: Situation) -> None:
    assert explore(situation) > 1
