"""Shapes in which some sizes are unknown."""

import math
from collections.abc import Sequence

from lstm_inspect.cells import Moves

Shape = tuple[int | None, ...]
"""A shape, batch first, with None for each unknown size."""


def fits(shape: tuple[int, ...], stated: Shape) -> bool:
    """Whether the shape of an array matches a stated shape; an unknown size matches any size."""
    return len(shape) == len(stated) and all(
        size is None or size == own for own, size in zip(shape, stated, strict=True)
    )


def flat_size(sizes: Sequence[int | None]) -> int | None:
    """How many numbers sizes have together; None if one is unknown."""
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None


def output_sizes(moves: Moves, lengths: Sequence[int | None], size: tuple[int, ...]) -> Shape:
    """The spatial sizes of the output of a convolution or pooling.

    Args:
        moves: How the window moves.
        lengths: The spatial sizes of the input.
        size: The size of the window.
    """
    counts = moves.counts([length or 0 for length in lengths], size)
    return tuple(
        None if length is None else count for length, count in zip(lengths, counts, strict=True)
    )
