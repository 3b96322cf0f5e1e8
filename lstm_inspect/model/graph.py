"""The canonical form of a model: a flat list of layer calls, whichever Keras saved it.

Nested models and wrappers are written out as the calls they stand for, so a reader of this form
meets only inputs, recurrences and plain layers, in an order in which they can be computed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lstm_inspect.formats import Array, SavedFile

Shape = tuple[int | None, ...]
"""A shape whose unknown sizes are None; the first is the batch."""

SPATIAL_DIMS: tuple[tuple[str, ...], ...] = (
    (),
    ("length",),
    ("rows", "columns"),
    ("depth", "rows", "columns"),
)
"""What the spatial axes are called, by how many there are."""


def fits(shape: tuple[int, ...], stated: Shape) -> bool:
    """Whether an array's shape is one that a shape with unknown sizes stands for."""
    return len(shape) == len(stated) and all(
        size is None or size == own for own, size in zip(shape, stated, strict=True)
    )


BLOCKS = {
    "lstm": ("i", "f", "g", "o"),
    "gru": ("z", "r", "n"),
    "simple_rnn": ("h",),
    "peephole_lstm": ("i", "f", "g", "o"),
    "conv_lstm": ("i", "f", "g", "o"),
}
"""What the blocks of a cell's weights are for, in their order on the last axis."""

Argument = Any
"""What a call is given: a `Ref`, plain JSON data, or tuples, lists and dicts of these."""


@dataclass(frozen=True, slots=True)
class Ref:
    """One tensor of the graph: output number ``index`` of the input or call named ``path``."""

    path: str
    index: int = 0


def flat(argument: Argument) -> Iterator[Any]:
    """Yields the leaves of an argument in order: `Ref`s and plain values."""
    if isinstance(argument, (tuple, list)):
        for item in argument:
            yield from flat(item)
    elif isinstance(argument, dict):
        yield from flat(tuple(argument.values()))
    else:
        yield argument


def refs(argument: Argument) -> Iterator[Ref]:
    """Yields every `Ref` in an argument, in order."""
    return (leaf for leaf in flat(argument) if isinstance(leaf, Ref))


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A place where data enters the model.

    Attributes:
        name: The input's name, as Keras gives it.
        shape: Batch first; None as a whole where the file does not say.
        dtype: As the file states it, for example ``"float32"``.
    """

    name: str
    shape: Shape | None
    dtype: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """A layer that is not recurrent.

    Attributes:
        name: Unique in the model; nested models add their own name in front (``encoder/dense``).
        class_name: The Keras class, for example ``"Dense"``.
        config: The layer's own config, as the file has it.
        weights: The layer's arrays in Keras's order.
        dtype: Compute dtype; float inputs are cast to it.
        is_whole: Whether the file holds all of its weights.
        is_operation: Whether it is a pure operation such as ``x * 2``, in the words of Keras 3: its
            calls have the arguments in ``args`` and the parameters in ``config`` or ``kwargs``.
        merges_masks: Of a layer that merges its inputs, which steps of the output count:
            ``"all"``, those that count in every input that has a mask; ``"any"``, those that count
            in some input if each has a mask; ``"none"``, the output has no mask.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    weights: tuple[Array, ...]
    dtype: str
    is_whole: bool = True
    is_operation: bool = False
    merges_masks: str = "all"

    @property
    def label(self) -> str:
        """What errors call it: ``encoder/dense (Dense)``."""
        return f"{self.name} ({self.class_name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """How a ConvLSTM convolves its input; a value for each spatial axis.

    Attributes:
        strides: Of the input convolution; the state is convolved with stride 1.
        dilation: Of the input convolution.
        padding: Of the input convolution: ``"valid"``, ``"same"``, or ``"half"`` as Theano pads.
        state_padding: Of the state's: ``"same"`` or ``"half"``.
        channels_first: Whether x and the states have their channels in front of the spatial axes.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str
    state_padding: str = "same"
    channels_first: bool = False

    def output_sizes(self, sizes: Shape, kernel_size: tuple[int, ...]) -> Shape:
        """The sizes of the spatial axes of a state, from those of x_t; None where unknown."""
        return tuple(
            None
            if size is None
            else -(-(size - (taps - 1) * dilation if self.padding == "valid" else size) // stride)
            for size, taps, stride, dilation in zip(
                sizes, kernel_size, self.strides, self.dilation, strict=True
            )
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """A recurrent layer, one direction of a Bidirectional or one of several stacked cells.

    The weights are in canonical form, whichever Keras or CuDNN laid them out:

    | cell | kernel, recurrent_kernel | bias | blocks | states |
    |---|---|---|---|---|
    | lstm | (features, 4·units), (units, 4·units) | (4·units,) | i, f, g, o | h, c |
    | gru | (features, 3·units), (units, 3·units) | (3·units,), with reset_after (2, 3·units) \
| z, r, n | h |
    | simple_rnn | (features, units), (units, units) | (units,) | | h |
    | peephole_lstm | as lstm, and peepholes (3, units) for i, f, o | (4·units,) | i, f, g, o \
| h, c |
    | conv_lstm | (*size, features, 4·units), (*size, units, 4·units) | (4·units,) | i, f, g, o \
| h, c |

    Attributes:
        path: Its name in tables and dumps: ``lstm``, ``encoder/lstm``, ``bi/backward``, ``rnn/0``.
        cell: ``"lstm"``, ``"gru"``, ``"simple_rnn"``, ``"peephole_lstm"`` or ``"conv_lstm"``.
        units: Width of the states; of a ConvLSTM, its filters.
        features: Width of x_t; of a ConvLSTM, its channels.
        weights: Read-only arrays: ``kernel``, ``recurrent_kernel``, ``bias`` unless the layer has
            none, ``peepholes`` where the cell has them.
        activation: Of the candidate, and of c on its way to h; None where the file does not say.
        recurrent_activation: Of the gates; None where the cell has none or the file does not say.
        reset_after: Of a GRU: whether the reset gate acts after the recurrent product.
        convolution: Of a ConvLSTM.
        go_backwards: Reads the last timestep first. This and the next five are None where the file
            does not say.
        return_sequences: Hands h of every timestep to the next layer, not only the last one.
        return_state: Hands the final states to the next layer too.
        stateful: Keras carries the states from batch to batch.
        zero_output_for_mask: Hands on 0 at a masked step, where the states are carried over.
        unroll: Keras runs it without a loop.
        time_major: Reads and hands on sequences with the timesteps in front of the batch.
        restores_order: Hands its sequence on in the order of its input, whichever way it reads.
        drops: Whether it has dropout, which acts in training.
        dtype: Compute dtype.
        notes: What the file leaves open about the layer, a line each.
    """

    path: str
    cell: str
    units: int
    features: int
    weights: Mapping[str, Array]
    activation: str | None = None
    recurrent_activation: str | None = None
    reset_after: bool = False
    convolution: Convolution | None = None
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

    @property
    def states(self) -> tuple[str, ...]:
        """The signals that are carried from step to step."""
        return ("h", "c") if "lstm" in self.cell else ("h",)

    @property
    def direction(self) -> str:
        """``"forward"``, ``"backward"``, or ``"unknown"`` where the file does not say."""
        return {True: "backward", False: "forward", None: "unknown"}[self.go_backwards]

    @property
    def reading_order(self) -> slice:
        """From timesteps in the order of the input to those in which it reads, and back."""
        return slice(None, None, -1) if self.go_backwards else slice(None)

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold."""
        return sum(array.size for array in self.weights.values())


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """One application of a layer.

    Attributes:
        path: The layer's name; its second call is ``name#2``.
        layer: What is applied.
        args: For a recurrence, its x alone; else as in the file.
        kwargs: For a recurrence: ``initial_state`` (a tuple of Refs) where the model wires it, and
            ``mask``: a Ref, or None where the layer does not heed the mask of its input. Else as
            in the file.
        in_training: Whether the model calls it as in training even at inference.
        folds: How many of the axes behind the batch count as batch too: inside a TimeDistributed,
            its timesteps.
        input_shape: The shape of the layer's input, where the file states one.
    """

    path: str
    layer: Layer | Recurrence
    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    in_training: bool = False
    folds: int = 0
    input_shape: Shape | None = None

    @property
    def needs(self) -> tuple[Ref, ...]:
        """Every tensor the call reads."""
        return tuple(refs((self.args, tuple(self.kwargs.values()))))


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A saved model, read and put into canonical form.

    Attributes:
        name: As Keras gave it.
        file: What it was read from.
        inputs: Where data enters.
        calls: Layer calls; each reads only inputs and earlier calls.
        why_unwired: Where only the weights of its layers are known, why: one line. Its calls then
            read nothing, and cannot be replayed.
    """

    name: str
    file: SavedFile
    inputs: tuple[ModelInput, ...]
    calls: tuple[Call, ...]
    why_unwired: str | None = None

    @cached_property
    def recurrent_calls(self) -> tuple[tuple[Call, Recurrence], ...]:
        """The calls of recurrent layers, each with its recurrence, in the order of computation."""
        return tuple(
            (call, call.layer) for call in self.calls if isinstance(call.layer, Recurrence)
        )

    @property
    def recurrent(self) -> tuple[Recurrence, ...]:
        """The recurrent layers, in the order of computation."""
        return tuple(dict.fromkeys(recurrence for _, recurrence in self.recurrent_calls))
