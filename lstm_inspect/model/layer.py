"""Layers that are not recurrent, in canonical form: what each computes, as typed options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.cells import Moves


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Hands on what it gets."""


@dataclass(frozen=True, kw_only=True)
class Masking:
    """Masks the timesteps whose features all have one value, and hands on 0 there.

    Attributes:
        mask_value: The value, or one for each feature.
    """

    mask_value: float | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Looks up a vector for each index.

    Attributes:
        output_dim: Length of a vector.
        mask_zero: Whether timesteps of index 0 are masked.
    """

    output_dim: int
    mask_zero: bool


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A matrix product over the last axis, a bias if there is one, and the activation.

    Attributes:
        units: Length of the last axis of the output.
    """

    units: int


@dataclass(frozen=True, kw_only=True)
class Activation:
    """The activation of the layer, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class BatchNormalization:
    """Normalizes by the mean and variance that the file has.

    Attributes:
        axis: The axis of the features.
        epsilon: What is added to the variance.
        scale: Whether the first array scales the result.
        center: Whether the next array is added to it.
    """

    axis: int
    epsilon: float
    scale: bool
    center: bool


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Combines tensors of one shape, number by number.

    Attributes:
        how: ``"add"``, ``"subtract"``, ``"multiply"``, ``"average"``, ``"maximum"`` or
            ``"minimum"``.
        masks: How the masks of the inputs combine. ``"all"``: a step counts if it counts in every
            input that has a mask; ``"any"``: if it counts in some input and all have masks;
            ``"none"``: the output has no mask.
    """

    how: str
    masks: str


@dataclass(frozen=True, kw_only=True)
class Concatenate:
    """Joins tensors along an axis.

    Attributes:
        axis: The axis.
        masks: As for `Merge`.
    """

    axis: int
    masks: str


@dataclass(frozen=True, kw_only=True)
class MergeDirections:
    """Merges the outputs of the two directions of a Bidirectional.

    Attributes:
        merge_mode: ``"concat"``, ``"sum"``, ``"ave"``, ``"mul"``, or None: two outputs.
        time_axis: The axis of the timesteps, along which the second sequence is turned round; None
            if the outputs are no sequences.
    """

    merge_mode: str | None
    time_axis: int | None


@dataclass(frozen=True, kw_only=True)
class RepeatVector:
    """Makes a sequence that repeats its input.

    Attributes:
        n: Length of the sequence.
    """

    n: int


@dataclass(frozen=True, kw_only=True)
class Reshape:
    """Gives each sample another shape.

    Attributes:
        target_shape: The shape without the batch; -1 is what remains.
    """

    target_shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Flatten:
    """Makes each sample a vector."""


@dataclass(frozen=True, kw_only=True)
class Permute:
    """Exchanges the axes of each sample.

    Attributes:
        dims: The axis of the input for each axis of the output; 1 is the first behind the batch.
    """

    dims: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Convolve:
    """A convolution with channels last, a bias if there is one, and the activation.

    Attributes:
        filters: Channels of the output.
        kernel_size: Size of the window.
        moves: How the window moves.
    """

    filters: int
    kernel_size: tuple[int, ...]
    moves: Moves


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The maximum or the average of each window, channels last.

    Attributes:
        how: ``"max"`` or ``"average"``.
        pool_size: Size of the window.
        moves: How the window moves.
    """

    how: str
    pool_size: tuple[int, ...]
    moves: Moves


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A pure operation between layers, such as ``x * 2``; its call has the arguments.

    Attributes:
        name: In the words of Keras 3: ``"GetItem"``, ``"Add"`` ...
        parameters: What is set for all its calls, such as the axis of a ``"Mean"``.
    """

    name: str
    parameters: Mapping[str, Any]


Options = (
    Identity
    | Masking
    | Embedding
    | Dense
    | Activation
    | BatchNormalization
    | Merge
    | Concatenate
    | MergeDirections
    | RepeatVector
    | Reshape
    | Flatten
    | Permute
    | Convolve
    | Pool
    | Operation
)
"""What a layer computes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """A layer that is not recurrent.

    Attributes:
        name: Unique in the model; nested models add their own name in front (``encoder/dense``).
        class_name: What its framework calls the class, for example ``"Dense"``.
        framework: The framework: ``"Keras"``.
        options: What it computes; None if that is known to its framework alone.
        weights: The arrays of the layer, in the order of its framework.
        activation: The name of its activation, as `lstm_inspect.cells.ACTIVATIONS` has it.
        dtype: Compute dtype; float inputs are cast to it.
        is_whole: Whether the file holds all of its weights.
        acts_in_training: Whether it computes something else in training.
        config: Its settings in the words of its framework, plain data: for the genuine layer, and
            for people who compute the layer themselves.
    """

    name: str
    class_name: str
    framework: str
    options: Options | None
    weights: tuple[Array, ...] = ()
    activation: str = "linear"
    dtype: str = "float32"
    is_whole: bool = True
    acts_in_training: bool = False
    config: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What errors call it: ``encoder/dense (Dense)``."""
        return f"{self.name} ({self.class_name})"
