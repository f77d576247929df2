"""Layers of settings: nested values, where each comes from, and how a later one is laid over an earlier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobqueue_core.settings.schema import Path

Tree: TypeAlias = dict[str, object]

SECRET_SOURCE = "secret "  # noqa: S105  (the word that begins the name of a source)


@dataclass(frozen=True, slots=True)
class Layer:
    """The values of one source.

    Attributes:
        values: The nested values.
        sources: Path of each value to the name of where it comes from.
    """

    values: Tree
    sources: Mapping[Path, str] = field(default_factory=dict)


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> Tree:
    """Return `base` with `over` laid over it: mappings merge, everything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        current = merged.get(key)
        merged[key] = (
            merge(current, value) if isinstance(current, dict) and isinstance(value, dict) else value
        )
    return merged


def source_of(layers: tuple[Layer, ...], path: Path) -> str | None:
    """Return where the value at a path comes from: the latest layer that has it, or what it is part of."""
    for end in range(len(path), 0, -1):
        for layer in reversed(layers):
            if path[:end] in layer.sources:
                return layer.sources[path[:end]]
    return None


def value_at(tree: object, path: Path) -> object:
    """Return the value at a path, or None."""
    for part in path:
        if not isinstance(tree, dict):
            return None
        tree = tree.get(part)
    return tree


def put(tree: Tree, path: tuple[str, ...], value: object) -> None:
    """Set the value at a path, making the sections above it."""
    *above, last = path
    for part in above:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = {}
            tree[part] = below
        tree = below
    tree[last] = value


def without(tree: Mapping[str, object], path: Path) -> Tree:
    """Return the tree without the value at a path; a list goes as a whole."""
    copy = dict(tree)
    head = path[0]
    if not isinstance(head, str) or head not in copy:
        return copy
    below = copy[head]
    if len(path) > 1 and isinstance(below, dict):
        if path[1] in below:
            copy[head] = without(below, path[1:])
    else:
        del copy[head]
    return copy


def flat(tree: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value of a tree; a list is one value, and so is an empty mapping."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*above, key))
        else:
            yield (*above, key)
