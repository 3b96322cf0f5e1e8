"""The parts of the NumPy form of a layer: computation, mask and shape."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array, cast
from lstm_inspect.errors import InspectError, LimitError, ModelFileError
from lstm_inspect.model import Layer, Shape, fits
from lstm_inspect.nested import LOOK_INSIDE, rewritten
from lstm_inspect.notation import shape_text


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that flows through the graph: an array, batch first, and its mask.

    Attributes:
        array: (batch, ...).
        mask: (batch, timesteps) bool, True where the step counts; None if nothing is masked.
    """

    array: Array
    mask: Array | None = None


def mask_over(mask: Array, array: Array) -> Array:
    """Gives a mask the rank of the array that it covers, so that both broadcast."""
    return mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim))


def map_values(argument: Any, read: Callable[[Value], Any]) -> Any:
    """Replaces each `Value` in an argument of a call by what ``read`` returns for it."""
    return rewritten(
        argument, lambda given: read(given) if isinstance(given, Value) else LOOK_INSIDE
    )


Compute = Callable[[Layer, Any, Sequence[Value]], Array | tuple[Array, ...]]
Mask = Callable[[Any, Sequence[Value]], Array | None]
OutputShape = Callable[[Any, Sequence[Shape]], Shape | None]
Scratch = Callable[[Any, Sequence[tuple[int, ...]]], int]


@dataclass(frozen=True, eq=False)
class Form:
    """The NumPy form of all layers with one kind of options.

    Attributes:
        compute: Takes the layer, its options and its flat inputs. Returns the output array, or a
            tuple of output arrays.
        mask: Takes the options and the inputs. Returns the mask of the output.
        shape: Takes the options and the shapes of the inputs. Returns the shape of the output.
        casts: Whether float inputs are cast to the layer's dtype; an Embedding and a
            LayerNormalization do not cast them (keras 3.15.1, layers/core/embedding.py and
            layers/normalization/layer_normalization.py, ``autocast = False``).
        scratch: Takes the options and the shapes of the inputs. Returns how many numbers the
            computation holds beside inputs, outputs and copies of these.
    """

    compute: Compute
    mask: Mask
    shape: OutputShape
    casts: bool = True
    scratch: Scratch = lambda options, shapes: 0

    @property
    def drops_mask(self) -> bool:
        """Whether the output never has a mask."""
        return self.mask is no_mask

    def apply(self, layer: Layer, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """Runs the layer on its flat inputs, after casting float arrays to its compute dtype.

        Raises:
            ModelFileError: Its config, weights and inputs do not fit together.
        """
        with blaming(layer):
            given = [_cast(value, layer.dtype) for value in inputs] if self.casts else inputs
            outputs = self.compute(layer, layer.options, given)
            mask = self.mask(layer.options, given)
            if mask is not None and not mask.ndim:
                raise ValueError("a mask without a batch")
            stated = self.shape(layer.options, [value.array.shape for value in given])
        arrays = outputs if isinstance(outputs, tuple) else (outputs,)
        check_shape(layer, stated, arrays[0], "its weights")
        return tuple(Value(array, mask) for array in arrays)

    def output_shape(self, layer: Layer, shapes: Sequence[Shape]) -> Shape | None:
        """The shape of the layer's output for the shapes of its inputs; None if unknown.

        Raises:
            ModelFileError: Its config and these shapes do not fit together.
        """
        with blaming(layer):
            return self.shape(layer.options, shapes)

    def bytes_needed(self, layer: Layer, inputs: Sequence[Value]) -> int:
        """The most memory that `apply` takes beside its inputs, weights included.

        Raises:
            ModelFileError: The config of the layer and the inputs do not fit together.
        """
        shapes = [given.array.shape for given in inputs]
        output = self.output_shape(layer, shapes) or ()
        with blaming(layer):
            scratch = self.scratch(layer.options, shapes)
        sizes = [*map(math.prod, shapes), math.prod(size or 1 for size in output)]
        arrays = [given.array for given in inputs]
        dtype = "float32" if layer.dtype == "bfloat16" else layer.dtype
        weights = sum(array.nbytes for array in layer.weights)
        return weights + bytes_of([*arrays, np.empty(0, dtype)], sum(sizes) + scratch)


def check_shape(layer: Layer, stated: Shape | None, output: Array, giver: str) -> None:
    """Checks that an output has the shape that the config of its layer states.

    Args:
        layer: The layer.
        stated: The shape; None matches any.
        output: The first output.
        giver: Where the output is from, for the error.

    Raises:
        ModelFileError: It has another shape.
    """
    if stated is not None and not fits(output.shape, stated):
        raise ModelFileError(
            f"layer {layer.label}: expected {shape_text([size or 'any' for size in stated])} "
            f"from its config, received {shape_text(output.shape)} from {giver}"
        )


def bytes_of(arrays: Sequence[Array], numbers: int) -> int:
    """The memory of so many numbers and one copy of them, in the widest dtype of some arrays.

    Whole numbers and half precision may be computed in single precision.
    """
    return 2 * numbers * max([4, *(array.itemsize for array in arrays)])


@contextmanager
def blaming(layer: Layer) -> Iterator[None]:
    """Turns an error of NumPy into one of the file: a form does not check config and weights."""
    try:
        yield
    except MemoryError as error:
        raise LimitError(
            f"layer {layer.label}: its output takes more memory than there is"
        ) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, InspectError):
            raise
        raise ModelFileError(
            f"layer {layer.label}: its config, weights and inputs do not fit together ({error!r})"
        ) from error


def _cast(given: Value, dtype: str) -> Value:
    if given.array.dtype.kind == "f":
        return Value(cast(given.array, dtype), given.mask)
    return given


def pass_mask(options: Any, inputs: Sequence[Value]) -> Array | None:
    """The mask rule of a layer that passes on the mask of its first input."""
    return inputs[0].mask


def no_mask(options: Any, inputs: Sequence[Value]) -> None:
    """The mask rule of a layer that passes on no mask."""
    return


def same_shape(options: Any, shapes: Sequence[Shape]) -> Shape:
    """The shape rule of a layer that keeps its first input's shape."""
    return shapes[0]
