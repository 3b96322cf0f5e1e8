"""Recurrent layers in canonical form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lstm_inspect.arrays import FLOATS, Array
from lstm_inspect.cells import SPATIAL_DIMS, Axis, CellKind, Convolution
from lstm_inspect.errors import ModelFileError, SelectionError, one_line
from lstm_inspect.model.blocks import Block, Place, Stored, blocks_of
from lstm_inspect.model.sizes import Shape, output_sizes
from lstm_inspect.notation import shape_text


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """A recurrent layer, one direction of a Bidirectional, or one of several stacked cells.

    The weights are in canonical form, whichever framework saved them:

    | cell | kernel, recurrent_kernel | bias | gates | states |
    |---|---|---|---|---|
    | lstm | (features, 4·units), (units, 4·units) | (4·units,) | i, f, g, o | h, c |
    | gru | (features, 3·units), (units, 3·units) | (3·units,), with reset_after (2, 3·units) \
| z, r, n | h |
    | simple_rnn | (features, units), (units, units) | (units,) | | h |
    | peephole_lstm | as lstm, and peepholes (3, units) for i, f, o | (4·units,) | i, f, g, o \
| h, c |
    | tf_lstm | (features, 4·units), (output, 4·units); peepholes (3, units) and projection \
(units, output) if it has them | (4·units,) | i, f, g, o | h, c |
    | conv_lstm | (*window, features, 4·units), (*window, units, 4·units) | (4·units,) \
| i, f, g, o | h, c |

    Attributes:
        path: Its name in tables and dumps: ``lstm``, ``encoder/lstm``, ``bi/backward``, ``rnn/0``.
        kind: The kind of its cell.
        units: The width of the cell; for a ConvLSTM, its filters.
        weights: Read-only arrays, by the names that the kind gives them.
        activations: The names of the activations of the kind; None if the file does not say.
            ``activation`` acts on the candidate, and on c on its way to h.
            ``recurrent_activation`` acts on the gates.
        options: The other options of the kind: ``reset_after`` of a GRU, ``convolution`` of a
            ConvLSTM. Those that the file does not say are left out.
        go_backwards: Whether it reads the last timestep first. This and the next five are None if
            the file does not say.
        return_sequences: Whether it outputs h of every timestep, not only of the last one.
        return_state: Whether it outputs the final states too.
        stateful: Whether it carries the states from batch to batch.
        zero_output_for_mask: Whether it outputs 0 at a masked step, in place of the h that it
            carries over.
        unroll: Whether Keras runs it without a loop.
        time_major: Whether its sequences have the timesteps in front of the batch.
        restores_order: Whether it outputs its sequence in the order of the input, even if it reads
            backwards.
        drops: Whether it has dropout, which acts in training.
        dtype: The dtype it computes in.
        input_dtype: The dtype to which its x and initial states are cast before that; None for the
            same. An RNN may have another dtype than its cells.
        output_dtype: The dtype to which its outputs are cast behind that; None for the same.
        defaults: The fields that the file does not say and that have the default of their
            framework; `lstm_inspect.model.assume` may change them.
        notes: What the file leaves open about the layer, one line for each point.
        stored: How the file stores each block of the weights, in the order of the file. Empty if it
            stores the weights in canonical form and under their canonical names.

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
    input_dtype: str | None = None
    output_dtype: str | None = None
    defaults: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    stored: Mapping[Block, Stored] = field(default_factory=dict)

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
        if self.dtype not in FLOATS:
            raise ModelFileError(
                f"layer {self.path}: expected a dtype of {', '.join(FLOATS)}, received {self.dtype}"
            )
        for name, array in self.weights.items():
            if array.dtype.kind != "f":
                raise ModelFileError(
                    f"layer {self.path}: expected {name} of floating-point numbers, received "
                    f"{array.dtype}"
                )
        if self.stored and self.stored.keys() != self.blocks.keys():
            raise TypeError(f"expected stored to have the blocks {[*self.blocks]}")

    def __repr__(self) -> str:
        """What it is, in one line."""
        sizes = f"{self.features} features, {self.units} units"
        return one_line(f"<Recurrence {self.path}: {self.kind.title}, {sizes}, {self.direction}>")

    @property
    def outline(self) -> dict[str, Any]:
        """Its cell, its sizes and the shapes of its weights, as plain JSON data."""
        return {
            "cell": self.cell,
            "units": self.units,
            "features": self.features,
            "direction": self.direction,
            "weights": {name: list(array.shape) for name, array in self.weights.items()},
        }

    @property
    def is_recurrent(self) -> bool:
        """True, also of a `Layer` that stands for a recurrent layer without weights."""
        return True

    @property
    def open_fields(self) -> tuple[str, ...]:
        """What the file does not say and a replay needs: activations, options, the direction."""
        unknown = [name for name in self.kind.activations if self.activations.get(name) is None]
        unknown += [name for name in self.kind.options if name not in self.options]
        return (*unknown, *(["go_backwards"] if self.go_backwards is None else []))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Its notes, and what it has because the file does not say it."""
        lines = []
        if self.open_fields:
            lines.append(f"the file does not say its {', '.join(self.open_fields)}")
        values = {**self.activations, **self.options}
        if shown := [f"{name}={values[name]}" for name in sorted(self.defaults & values.keys())]:
            lines.append(f"{', '.join(shown)}: the default, as the file does not say it")
        return (*lines, *self.notes)

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
        """The activation of the gates; None if the cell has no gates, or the file does not say."""
        return self.activations.get("recurrent_activation")

    @property
    def states(self) -> tuple[str, ...]:
        """The signals that are carried from step to step."""
        return tuple(self.kind.states)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The size of each named axis of the weights: units, features."""
        return dict(_measured(self.kind, self.units, self.weights))

    @property
    def features(self) -> int:
        """The width of x_t; for a ConvLSTM, its channels."""
        return self.sizes["features"]

    @property
    def window(self) -> tuple[int, ...]:
        """The size of a ConvLSTM's window along each spatial axis; () for other cells."""
        return tuple(self.weights["kernel"].shape[:-2])

    @property
    def convolution(self) -> Convolution | None:
        """How a ConvLSTM convolves; None for other cells."""
        return self.options.get("convolution")

    @property
    def channels_first(self) -> bool:
        """Whether the features of x and the units of the states come before the spatial axes."""
        return self.convolution is not None and self.convolution.channels_first

    @property
    def direction(self) -> str:
        """``"forward"``, ``"backward"``, or ``"unknown"`` if the file does not say."""
        return {True: "backward", False: "forward", None: "unknown"}[self.go_backwards]

    @property
    def reading_order(self) -> slice:
        """A slice that puts timesteps into the order in which the layer reads them, and back."""
        return slice(None, None, -1) if self.go_backwards else slice(None)

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold."""
        return sum(array.size for array in self.weights.values())

    @property
    def state_dims(self) -> tuple[str, ...]:
        """The axes of a state of one sequence: ``("units",)``; a ConvLSTM has spatial ones too."""
        spatial = SPATIAL_DIMS[len(self.window)]
        return ("units", *spatial) if self.channels_first else (*spatial, "units")

    def state_shapes(self, features: Shape) -> dict[str, Shape]:
        """The shape of each state of one sequence after one step.

        Args:
            features: The shape of x_t of one sequence; () if unknown.

        Returns:
            The shape of each state: (units,), or for a ConvLSTM (*spatial, units), with None for an
            unknown size.
        """
        spatial: Shape = (None,) * len(self.window)
        if self.convolution is not None and len(features) == len(self.window) + 1:
            lengths = features[1:] if self.channels_first else features[:-1]
            spatial = output_sizes(self.convolution.moves, lengths, self.window)
        widths = {state: self.sizes[width] for state, width in self.kind.states.items()}
        return {
            state: (width, *spatial) if self.channels_first else (*spatial, width)
            for state, width in widths.items()
        }

    @cached_property
    def blocks(self) -> Mapping[Block, Place]:
        """Each block of the weights, with its place in them: one for each gate of each weight."""
        return blocks_of(self.kind, self.weights)

    @property
    def stored_blocks(self) -> Mapping[Block, Stored]:
        """How the file stores each block, in the order of the file."""
        return self.stored or {block: Stored((place,)) for block, place in self.blocks.items()}

    def block(self, block: Block) -> Array:
        """The numbers of a block, as a view."""
        return self.blocks[block].of(self.weights)

    def gate(self, name: str) -> dict[str, Array]:
        """The weights of one gate, by their names in ``weights``, as views.

        Args:
            name: A gate or the candidate: ``"i"``, ``"f"``, ``"g"`` or ``"o"`` of an LSTM; ``"z"``,
                ``"r"`` or ``"n"`` of a GRU.

        Returns:
            ``kernel`` (features, units), ``recurrent_kernel`` (units, units), and what the layer
            has of ``bias`` (units,), with reset_after (2, units), and ``peepholes`` (units,). A
            ConvLSTM has its window in front: (*window, features, units).

        Raises:
            SelectionError: The cell has no such gate.
        """
        if name not in self.kind.gates:
            there = ", ".join(self.kind.gates) or "none"
            raise SelectionError(f"layer {self.path}: no gate {name}; its gates are {there}")
        return {block.weight: self.block(block) for block in self.blocks if block.gate == name}


def mismatch(kind: CellKind, units: int, weights: Mapping[str, Array]) -> str | None:
    """Says which of some weights does not have the shape that a kind requires; None if all have."""
    try:
        _measured(kind, units, weights)
    except ValueError as error:
        return str(error)
    return None


def _measured(kind: CellKind, units: int, weights: Mapping[str, Array]) -> dict[str, int]:
    """The size of each named axis of some weights; raises ValueError if a shape does not fit."""
    sizes = {"units": units}
    window = weights["kernel"].shape[:-2] if "kernel" in weights else ()
    for name, weight in kind.weights.items():
        if name not in weights:
            if weight.is_optional:
                continue
            raise ValueError(f"expected {name}, received none")
        known = {**sizes, "gates": len(kind.gates) * units}
        shape = weights[name].shape
        forms = [_form(axes, known, window) for axes in weight.forms]
        fitting = [form for form in forms if _is_of(shape, form)]
        if not fitting:
            raise ValueError(
                f"expected {name} of shape {shape_text(_filled(forms[0], shape))} for {units} "
                f"units, received {shape}"
            )
        named = zip(fitting[0], shape, strict=True)
        sizes |= {axis: int(size) for axis, size in named if isinstance(axis, str)}
    return sizes


def _form(axes: Sequence[Axis], known: Mapping[str, int], window: Sequence[int]) -> list[Axis]:
    """Replaces the names of axes by their sizes, as far as these are known."""
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
    """Replaces the names that are left in a form by the sizes of an array.

    A form with another number of axes stays as it is. A size of 0 replaces nothing, because no axis
    of a weight may have it.
    """
    if len(shape) != len(form):
        return [*form]
    return [
        size if isinstance(axis, str) and axis != "window" and size > 0 else axis
        for axis, size in zip(form, shape, strict=True)
    ]
