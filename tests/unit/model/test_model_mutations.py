"""The model finds each fault that it is there for: one protection after the other is taken out."""

from __future__ import annotations

import pytest

from jobqueue_testsupport.model.ending import bring_to_rest
from jobqueue_testsupport.model.interleavings import explore
from jobqueue_testsupport.model.kept import KEPT, Kept
from jobqueue_testsupport.model.mutations import MUTATIONS, Mutation
from jobqueue_testsupport.model.records import ViolationError
from jobqueue_testsupport.model.situations import SITUATIONS
from jobqueue_testsupport.model.world import World


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_missing_protection_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.take_out(monkeypatch)

    (situation,) = [situation for situation in SITUATIONS if situation.name == mutation.shown_by]
    with pytest.raises(ViolationError):
        explore(situation)


def replay(kept: Kept) -> None:
    world = World()
    try:
        for move in kept.moves:
            world.move(move)
        bring_to_rest(world)
    finally:
        world.close()


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_a_run_that_failed_once_is_kept(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    replay(kept)

    if kept.mutation is not None:
        next(one for one in MUTATIONS if one.name == kept.mutation).take_out(monkeypatch)
        with pytest.raises(ViolationError, match=kept.violation):
            replay(kept)
