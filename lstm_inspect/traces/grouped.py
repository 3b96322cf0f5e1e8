"""Dumps that are trees: a layer is a group, its signals are arrays, and axes have names in it."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lstm_inspect.errors import OutputError
from lstm_inspect.traces.dump_format import NewArray


class Axis(NamedTuple):
    """An axis that arrays of one group share.

    Attributes:
        path: Its path: that of the group, and its name.
        size: Its size.
        places: The places that it stands for, if only a part of the axis was kept.
    """

    path: str
    size: int
    places: tuple[int, ...] | None


def axes_of(arrays: Mapping[str, NewArray]) -> dict[str, list[Axis]]:
    """Names the axes of each array, so that one name in a group is always one axis.

    h may be narrower than c. Its axis is then called ``h_units``.

    Returns:
        The axes of each array, by the key of the array.
    """
    known: dict[str, Axis] = {}
    found: dict[str, list[Axis]] = {}
    for key, array in arrays.items():
        group, _, signal = key.rpartition("/")
        found[key] = []
        for dim, size in zip(array.dims, array.shape, strict=True):
            axis = Axis(f"{group}/{dim}".lstrip("/"), size, array.places.get(dim))
            if known.get(axis.path, axis) != axis:
                axis = axis._replace(path=f"{group}/{signal}_{dim}".lstrip("/"))
            known[axis.path] = axis
            found[key].append(axis)
    return found


def groups_of(leaves: Iterable[str]) -> set[str]:
    """The paths of all groups in which some arrays stand; that of the root is ``""``."""
    parts = (leaf.split("/")[:-1] for leaf in leaves)
    return {""}.union("/".join(each[:depth]) for each in parts for depth in range(1, len(each) + 1))


def check_tree(path: Path, leaves: list[str]) -> None:
    """Refuses names that cannot be those of groups and arrays.

    Args:
        path: The path of the dump.
        leaves: The paths of all arrays and axes, each once.

    Raises:
        OutputError: A part of a path is not a name, or one is a group as well as an array.
    """
    groups = groups_of(leaves)
    for leaf in leaves:
        parts = leaf.split("/")
        if leaf in groups or not {"", ".", ".."}.isdisjoint(parts) or "\0" in leaf:
            raise OutputError(
                f"{path}: expected names that a tree of groups can have, received {leaf!r:.80}; "
                "write an .npz"
            )


def chunk_of(shape: tuple[int, ...], itemsize: int, most: int) -> tuple[int, ...]:
    """The chunks of an array, given the shape of the first block of it that is written.

    Args:
        shape: The shape of the block.
        itemsize: The size of a number.
        most: How many bytes a chunk may have.

    Returns:
        A part of the block, whole on the last axes. If it can, it divides the block, so that a
        later block of the same shape changes no chunk of an earlier one.
    """
    room = max(1, most // itemsize)
    chunk: list[int] = []
    for size in reversed(shape):
        fits = min(max(size, 1), max(1, room // math.prod(chunk)))
        chunk.append(next((n for n in range(fits, fits // 2, -1) if size % n == 0), fits))
    return tuple(reversed(chunk))
