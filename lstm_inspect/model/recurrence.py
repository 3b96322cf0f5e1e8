"""Recurrent layers in canonical form."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import SPATIAL_DIMS, Axis, CellKind, Convolution
from lstm_inspect.errors import ModelFileError
from lstm_inspect.model.sizes import Shape, output_sizes
from lstm_inspect.notation import shape_text


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """A recurrent layer, one direction of a Bidirectional or one of several stacked cells.

    The weights are in canonical form, whichever framework laid them out:

    | cell | kernel, recurrent_kernel | bias | gates | states |
    |---|---|---|---|---|
    | lstm | (features, 4·units), (units, 4·units) | (4·units,) | i, f, g, o | h, c |
    | gru | (features, 3·units), (units, 3·units) | (3·units,), with reset_after (2, 3·units) \
| z, r, n | h |
    | simple_rnn | (features, units), (units, units) | (units,) | | h |
    | peephole_lstm | as lstm, and peepholes (3, units) for i, f, o | (4·units,) | i, f, g, o \
| h, c |
    | conv_lstm | (*window, features, 4·units), (*window, units, 4·units) | (4·units,) \
| i, f, g, o | h, c |

    Attributes:
        path: Its name in tables and dumps: ``lstm``, ``encoder/lstm``, ``bi/backward``, ``rnn/0``.
        kind: The kind of its cell.
        units: Width of the cell; of a ConvLSTM, its filters.
        weights: Read-only arrays by the names that the kind has for them.
        activations: The activations that the kind has, by what they are for; None if the file does
            not say. ``activation`` is that of the candidate, and of c on its way to h;
            ``recurrent_activation`` is that of the gates.
        options: The other options that the kind has: ``reset_after`` of a GRU, ``convolution`` of a
            ConvLSTM.
        go_backwards: Reads the last timestep first. This and the next five are None if the file
            does not say.
        return_sequences: Hands h of every timestep to the next layer, not only the last one.
        return_state: Hands the final states to the next layer too.
        stateful: Carries the states from batch to batch.
        zero_output_for_mask: Hands on 0 at a masked step, where the states are carried over.
        unroll: Keras runs it without a loop.
        time_major: Reads and hands on sequences with the timesteps in front of the batch.
        restores_order: Hands its sequence on in the order of its input, whichever way it reads.
        drops: Whether it has dropout, which acts in training.
        dtype: Compute dtype.
        notes: What the file leaves open about the layer, a line each.

    Raises:
        ModelFileError: The weights do not have the shapes of the kind, or are not floating-point
            numbers.
    """

    path: str
    kind: CellKind
    units: int
    weights: Mapping[str, Array]
    activations: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    go_backwards: bool | None = None
    return_sequences: bool | None = None
    return_state: bool | None = None
    stateful: bool | None = None
    zero_output_for_mask: bool | None = None
    unroll: bool | None = None
    time_major: bool = False
    restores_order: bool = False
    drops: bool = False
    dtype: str = "float32"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that the weights and options are those of the kind."""
        for given, known in (
            (self.weights, self.kind.weights),
            (self.activations, self.kind.activations),
            (self.options, self.kind.options),
        ):
            if strange := given.keys() - set(known):
                raise TypeError(f"a {self.kind.name} has no {', '.join(sorted(strange))}")
        if problem := mismatch(self.kind, self.units, self.weights):
            raise ModelFileError(f"layer {self.path}: {problem}")
        for name, array in self.weights.items():
            if array.dtype.kind != "f":
                raise ModelFileError(
                    f"layer {self.path}: expected {name} of floating-point numbers, the file holds "
                    f"{array.dtype}"
                )

    @property
    def cell(self) -> str:
        """The name of its kind: ``"lstm"``, ``"gru"``, ``"simple_rnn"`` ..."""
        return self.kind.name

    @property
    def activation(self) -> str | None:
        """The activation of the candidate; None if the file does not say."""
        return self.activations.get("activation")

    @property
    def recurrent_activation(self) -> str | None:
        """The activation of the gates; None if there is none, or the file does not say."""
        return self.activations.get("recurrent_activation")

    @property
    def states(self) -> tuple[str, ...]:
        """The signals that are carried from step to step."""
        return tuple(self.kind.states)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Every size that the axes of the weights have, by name: units, features."""
        return dict(_measured(self.kind, self.units, self.weights))

    @property
    def features(self) -> int:
        """Width of x_t; of a ConvLSTM, its channels."""
        return self.sizes["features"]

    @property
    def window(self) -> tuple[int, ...]:
        """The size of a ConvLSTM's convolution along each spatial axis; () of other cells."""
        return tuple(self.weights["kernel"].shape[:-2])

    @property
    def convolution(self) -> Convolution | None:
        """How a ConvLSTM convolves; None of other cells."""
        return self.options.get("convolution")

    @property
    def channels_first(self) -> bool:
        """Whether the features of x and the units of the states stand before the spatial axes."""
        return self.convolution is not None and self.convolution.channels_first

    @property
    def direction(self) -> str:
        """``"forward"``, ``"backward"``, or ``"unknown"`` if the file does not say."""
        return {True: "backward", False: "forward", None: "unknown"}[self.go_backwards]

    @property
    def reading_order(self) -> slice:
        """From timesteps in the order of the input to those in which it reads, and back."""
        return slice(None, None, -1) if self.go_backwards else slice(None)

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold."""
        return sum(array.size for array in self.weights.values())

    @property
    def state_dims(self) -> tuple[str, ...]:
        """The axes of one state of one sequence: ``("units",)``, or spatial ones and units."""
        spatial = SPATIAL_DIMS[len(self.window)]
        return ("units", *spatial) if self.channels_first else (*spatial, "units")

    def state_shapes(self, features: Shape) -> dict[str, Shape]:
        """The shape of each state of one sequence after one step.

        Args:
            features: The shape of x_t of one sequence; () if it is not known.

        Returns:
            The shape by state: (units,), of a ConvLSTM (*spatial, units) with None for a size that
            is not known.
        """
        spatial: Shape = (None,) * len(self.window)
        if self.convolution is not None and len(features) == len(self.window) + 1:
            lengths = features[1:] if self.channels_first else features[:-1]
            spatial = output_sizes(self.convolution, lengths, self.window)
        widths = {state: self.sizes[width] for state, width in self.kind.states.items()}
        return {
            state: (width, *spatial) if self.channels_first else (*spatial, width)
            for state, width in widths.items()
        }

    def gates_of(self, name: str) -> Iterator[tuple[str | None, Array]]:
        """Yields each gate with its block of a weight; (None, the whole) if it has no blocks."""
        if self.kind.weights[name].has_gates:
            blocks = np.split(self.weights[name], len(self.kind.gates), axis=-1)
            yield from zip(self.kind.gates, blocks, strict=True)
        else:
            yield None, self.weights[name]


def mismatch(kind: CellKind, units: int, weights: Mapping[str, Array]) -> str | None:
    """What of the shapes of some weights is not as a kind of cell has it; None if all is."""
    try:
        _measured(kind, units, weights)
    except ValueError as error:
        return str(error)
    return None


def _measured(kind: CellKind, units: int, weights: Mapping[str, Array]) -> dict[str, int]:
    """The sizes of the axes of weights, by name; ValueError says which do not fit."""
    sizes = {"units": units}
    window = weights["kernel"].shape[:-2] if "kernel" in weights else ()
    for name, weight in kind.weights.items():
        if name not in weights:
            if weight.is_optional:
                continue
            raise ValueError(f"expected {name}, the file has none")
        known = {**sizes, "gates": len(kind.gates) * units}
        shape = weights[name].shape
        forms = [_form(axes, known, window) for axes in weight.forms]
        fitting = [form for form in forms if _is_of(shape, form)]
        if not fitting:
            raise ValueError(
                f"expected {name} of shape {shape_text(_filled(forms[0], shape))} for {units} "
                f"units, the file holds {shape}"
            )
        named = zip(fitting[0], shape, strict=True)
        sizes |= {axis: int(size) for axis, size in named if isinstance(axis, str)}
    return sizes


def _form(axes: Sequence[Axis], known: Mapping[str, int], window: Sequence[int]) -> list[Axis]:
    """Axes with sizes in the place of the names that are known."""
    if "window" in axes and not 0 < len(window) < len(SPATIAL_DIMS):
        return [*axes]
    return [
        size
        for axis in axes
        for size in (window if axis == "window" else [known.get(str(axis), axis)])
    ]


def _is_of(shape: tuple[int, ...], form: Sequence[Axis]) -> bool:
    return len(shape) == len(form) and _filled(form, shape) == list(shape)


def _filled(form: Sequence[Axis], shape: tuple[int, ...]) -> list[Axis]:
    """A form with the sizes of an array in the place of names, as far as both have the same axes.

    No axis of a weight has the size 0.
    """
    if len(shape) != len(form):
        return [*form]
    return [
        size if isinstance(axis, str) and axis != "window" and size > 0 else axis
        for axis, size in zip(form, shape, strict=True)
    ]
