from __future__ import annotations

import pytest

from jobqueue_operator.cluster.owners import Owners


def there(namespace: str, name: str) -> bool:
    return (namespace, name) == ("team", "there")


@pytest.mark.parametrize(
    ("owner", "gone"),
    [
        ("team/there@here", False),
        ("team/away@here", True),
        ("team/away@elsewhere", False),
        ("team/away", False),
        ("by hand", False),
    ],
)
def test_only_an_owner_of_this_cluster_can_be_known_to_be_gone(owner: str, *, gone: bool) -> None:
    assert Owners("here", there).gone(owner) is gone


def test_without_a_cluster_id_nobody_is_gone() -> None:
    owners = Owners(None, there)
    assert owners.tag("team", "away") == "team/away"
    assert not owners.gone("team/away")


def test_an_owner_knows_its_own_tag() -> None:
    owners = Owners("here", there)
    assert owners.tag("team", "there") == "team/there@here"
