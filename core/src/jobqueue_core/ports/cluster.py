"""What following a collection of a cluster's objects tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects there are; whatever is not among them is gone. First, and whenever changes were missed."""

    objects: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """An object that is new or different."""

    object: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that was deleted, as it was last."""

    object: Mapping[str, Any]


Sight: TypeAlias = Listed | Changed | Gone
