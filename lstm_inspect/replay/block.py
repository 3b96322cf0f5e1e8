"""A block of a replay, and where its arrays stand in the whole."""

from collections.abc import Mapping
from typing import NamedTuple

from lstm_inspect.replay.timesteps import Steps
from lstm_inspect.traces.recording import LayerTrace


class Place(NamedTuple):
    """Where an array of a block stands in that of the whole replay.

    Attributes:
        at: The index of its first number, on the leading axes.
        shape: The shape of the whole.
    """

    at: tuple[int, ...]
    shape: tuple[int, ...]


class Block(NamedTuple):
    """What was recorded of some samples, and of some timesteps if these are taken in pieces.

    Attributes:
        samples: Which of the samples that are replayed, counted from 0.
        of: How many samples are replayed.
        steps: Which timesteps; None for all.
        layers: The recorded signals of each layer.
        is_last: Whether it has the last timesteps that are computed of its samples.
    """

    samples: slice
    of: int
    steps: Steps | None
    layers: Mapping[str, LayerTrace]
    is_last: bool

    def place(self, layer: LayerTrace, signal: str) -> Place | None:
        """Where a signal stands; None for an initial state that an earlier block had."""
        shape = [*layer.signals[signal].shape]
        if self.samples != slice(0, self.of):  # the first axis of a time-major layer is another one
            shape[0] = self.of
        dims = layer.dims_of(signal)
        if self.steps is None:
            return Place((self.samples.start,), tuple(shape))
        if "timesteps" not in dims:
            return Place((self.samples.start,), tuple(shape)) if self.steps.start == 0 else None
        kept = layer.kept.get("timesteps")
        axis = dims.index("timesteps")
        shape[axis] = kept.before(self.steps.of) if kept else self.steps.of
        before = kept.before(self.steps.start) if kept else self.steps.start
        return Place((self.samples.start, *(0,) * (axis - 1), before), tuple(shape))
