"""The options of a replay."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits

Progress = Callable[[str, int, int], None]
"""Called with (path, timesteps done, timesteps in all) after every step of a recurrent layer."""

CustomLayer = Callable[..., Array | tuple[Array, Array | None]]
"""Called with (the layer, its input arrays ...); returns its output, or (its output, its mask)."""


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """Options of a replay; `lstm_inspect.trace` takes each as a keyword argument.

    Attributes:
        record: Any of h, c, i, f, g, o (LSTM), h, z, r, n (GRU), x, mask, h0 and c0, or ``"all"``.
            Each layer records the signals that it has.
        select: Which recurrent layers to record: paths, or globs over them (``"encoder/*"``).
        feed: Arrays for what cannot be run: the output of a layer by its path, or the x of a
            recurrent layer as ``"<path>:input"``; its mask, if it has one, as ``"<path>:mask"``.
        layers: Your own functions that compute custom layers, by the name of the layer or its
            class. Each is called with the `Layer` and its input arrays, and returns the output
            array, or the output array and its mask.
        stateful: Whether the input holds several batches of the model's own batch size, one after
            the other. Stateful layers then carry their states from batch to batch, as in Keras.
        allow_nonfinite: Whether inputs and weights may hold NaN or infinity, with a warning.
        limits: How large the arrays of the replay may become.
        progress: Called after every step.
    """

    record: Collection[str] = ("h", "c")
    select: Sequence[str] = ("*",)
    feed: Mapping[str, Any] = field(default_factory=dict)
    layers: Mapping[str, CustomLayer] = field(default_factory=dict)
    stateful: bool = False
    allow_nonfinite: bool = False
    limits: Limits = DEFAULT_LIMITS
    progress: Progress | None = None
