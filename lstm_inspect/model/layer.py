"""Layers that are not recurrent; typed options say what each one computes.

The options are named tuples: a dataclass takes 0.3 ms to define, at every start of the program.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lstm_inspect.arrays import Array
from lstm_inspect.cells import Moves
from lstm_inspect.errors import one_line
from lstm_inspect.model.sizes import Shape
from lstm_inspect.notation import shape_text


class Identity(NamedTuple):
    """Returns its input unchanged.

    Attributes:
        keeps_mask: Whether its output has the mask of its input.
    """

    keeps_mask: bool = True


class Augmentation(NamedTuple):
    """Returns an image unchanged."""


class Masking(NamedTuple):
    """Masks each timestep in which all features equal one value, and sets it to 0.

    Attributes:
        mask_value: The value, or one value for each feature.
    """

    mask_value: float | tuple[float, ...]


class Embedding(NamedTuple):
    """Looks up a vector for each index.

    Attributes:
        output_dim: Length of a vector.
        mask_zero: Whether timesteps with index 0 are masked.
    """

    output_dim: int
    mask_zero: bool


class Dense(NamedTuple):
    """A matrix product over the last axis, a bias if there is one, and the activation.

    Attributes:
        units: Length of the last axis of the output.
    """

    units: int


class Activation(NamedTuple):
    """Applies the activation of the layer, and nothing else."""


class BatchNormalization(NamedTuple):
    """Normalizes by the mean and variance in the file.

    Attributes:
        axis: The axes of the features.
        epsilon: The number that is added to the variance.
        scale: Whether the first array scales the result.
        center: Whether the next array is added to the result.
    """

    axis: tuple[int, ...]
    epsilon: float
    scale: bool
    center: bool


class LayerNormalization(NamedTuple):
    """Normalizes each sample by its own mean and variance.

    Attributes:
        axis: The axes of the features.
        epsilon: The number that is added to the variance.
        scale: Whether the first array scales the result.
        center: Whether the next array is added to the result.
        keeps_dtype: Whether the result is rounded to the dtype of the input, whole numbers too,
            before it is cast to the dtype of the layer.
    """

    axis: tuple[int, ...]
    epsilon: float
    scale: bool
    center: bool
    keeps_dtype: bool


class LeakyReLU(NamedTuple):
    """Multiplies negative numbers by a slope.

    Attributes:
        negative_slope: The slope.
    """

    negative_slope: float


class GlobalAverage(NamedTuple):
    """The average over all axes between batch and channels; masked steps do not count.

    Attributes:
        keepdims: Whether these axes stay, with length 1.
        keeps_whole: Whether the average of whole numbers is a whole number.
    """

    keepdims: bool
    keeps_whole: bool


class Merge(NamedTuple):
    """Combines tensors of the same shape element by element.

    Attributes:
        how: ``"add"``, ``"subtract"``, ``"multiply"``, ``"average"``, ``"maximum"`` or
            ``"minimum"``.
        masks: How the masks of the inputs combine. ``"all"``: a step counts if it counts in every
            input that has a mask. ``"any"``: a step counts if it counts in at least one input; the
            output has no mask if an input has none. ``"none"``: the output never has a mask.
    """

    how: str
    masks: str


class Concatenate(NamedTuple):
    """Joins tensors along an axis.

    Attributes:
        axis: The axis.
        masks: As for `Merge`, but an input without a mask counts at every step.
    """

    axis: int
    masks: str


class MergeDirections(NamedTuple):
    """Merges the outputs of the two directions of a Bidirectional.

    Attributes:
        merge_mode: ``"concat"``, ``"sum"``, ``"ave"``, ``"mul"``, or None for two outputs.
        time_axis: The axis of the timesteps. The second sequence is turned round along it. None if
            the outputs are not sequences.
    """

    merge_mode: str | None
    time_axis: int | None


class RepeatVector(NamedTuple):
    """Repeats its input as a sequence.

    Attributes:
        n: Length of the sequence.
    """

    n: int


class Reshape(NamedTuple):
    """Gives each sample another shape.

    Attributes:
        target_shape: The new shape without the batch; -1 is the size that remains.
    """

    target_shape: tuple[int, ...]


class Flatten(NamedTuple):
    """Turns each sample into a vector."""


class Permute(NamedTuple):
    """Reorders the axes of each sample.

    Attributes:
        dims: For each axis of the output, its axis in the input; 1 is the first behind the batch.
    """

    dims: tuple[int, ...]


class Convolve(NamedTuple):
    """A convolution with channels last, a bias if there is one, and the activation.

    Attributes:
        filters: Channels of the output.
        kernel_size: Size of the window.
        strides: As for `lstm_inspect.cells.Moves`; so are the next two.
        dilation: A number for each spatial axis.
        padding: ``"valid"``, ``"same"`` or ``"half"``.
    """

    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str

    @property
    def moves(self) -> Moves:
        """How the window moves."""
        return Moves(self.strides, self.dilation, self.padding)


class Pool(NamedTuple):
    """The maximum or the average of each window, channels last.

    Attributes:
        how: ``"max"`` or ``"average"``.
        pool_size: Size of the window.
        strides: As for `lstm_inspect.cells.Moves`; so is the padding.
        padding: ``"valid"`` or ``"same"``.
    """

    how: str
    pool_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str

    @property
    def moves(self) -> Moves:
        """How the window moves."""
        return Moves(self.strides, (1,) * len(self.pool_size), self.padding)


class Operation(NamedTuple):
    """A pure operation between layers, such as ``x * 2``; the arguments are in its call.

    Attributes:
        name: Its name in Keras 3: ``"GetItem"``, ``"Add"`` ...
        parameters: Settings that all its calls share, such as the axis of a ``"Mean"``.
    """

    name: str
    parameters: Mapping[str, Any]


Options = (
    Identity
    | Augmentation
    | Masking
    | Embedding
    | Dense
    | Activation
    | BatchNormalization
    | LayerNormalization
    | LeakyReLU
    | GlobalAverage
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
        name: Its name, unique in the model. In a nested model it has that model's name in front:
            ``encoder/dense``.
        class_name: The name of its class in the framework, for example ``"Dense"``.
        framework: The framework: ``"Keras 3"``, or ``"Keras 2"`` for what older versions wrote.
        options: What it computes; None if only its framework knows.
        weights: Its arrays, in the order of its framework.
        activation: The name of its activation, as in `lstm_inspect.cells.ACTIVATIONS`.
        dtype: The dtype it computes in; float inputs are cast to it.
        lacks: What the file lacks of it: ``"the file holds 3 of its 6 arrays"``; None for nothing.
        is_recurrent: Whether it is a recurrent layer; as a `Layer` it stands for one of whose cells
            the file has no weights.
        acts_in_training: Whether it computes something different in training.
        passes_mask: Whether its output has the mask of its input. None if only its code says so. It
            counts for a layer without options.
        output_shape: Works out the shape of its output from those of its inputs; None if only its
            framework knows. It counts for a layer without options, which say it themselves.
        code: What the file says of a function of its author that it runs, for people to recognise
            it: ``"the function mine.scale"``; None for nothing.
        config: Its settings in the words of its framework, as plain data. They are used to rebuild
            the genuine layer, and by people who compute the layer themselves.
    """

    name: str
    class_name: str
    framework: str
    options: Options | None
    weights: tuple[Array, ...] = ()
    activation: str = "linear"
    dtype: str = "float32"
    lacks: str | None = None
    is_recurrent: bool = False
    acts_in_training: bool = False
    passes_mask: bool | None = None
    output_shape: Callable[[Sequence[Shape]], Shape | None] | None = None
    code: str | None = None
    config: Mapping[str, Any]

    def __repr__(self) -> str:
        """What it is, in one line."""
        shapes = ", ".join(shape_text(array.shape) for array in self.weights)
        weights = f": weights {shapes}" if shapes else ""
        return one_line(f"<Layer {self.label}{weights}>")

    @property
    def label(self) -> str:
        """Its name in error messages: ``encoder/dense (Dense)``."""
        return f"{self.name} ({self.class_name})"
