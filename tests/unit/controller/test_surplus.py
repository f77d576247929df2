from __future__ import annotations

import pytest

from jobqueue_operator.targets.processes import surplus


@pytest.mark.parametrize(
    ("busy", "keep", "ended"),
    [
        ((), 3, ()),
        ((), 5, ()),
        ((), 1, ("c", "b")),
        (("c",), 2, ("b",)),
        (("a", "c"), 1, ("b", "c")),
        (("a", "b", "c"), 0, ("c", "b", "a")),
        (("stranger",), 2, ("c",)),
    ],
    ids=[
        "enough",
        "too_few",
        "youngest_first",
        "busy_one_is_spared",
        "idle_before_busy",
        "all",
        "ids_of_others_do_not_matter",
    ],
)
def test_who_is_ended(busy: tuple[str, ...], keep: int, ended: tuple[str, ...]) -> None:
    assert surplus(("a", "b", "c"), busy, keep) == ended
