"""What the NumPy form of a layer consists of."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lstm_inspect.arrays import Array, cast
from lstm_inspect.errors import InspectError, ModelFileError
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
    """A mask with the rank of the array that it covers."""
    return mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim))


def map_values(argument: Any, read: Callable[[Value], Any]) -> Any:
    """An argument of a call, with what is read of each `Value` in the place of the value."""
    return rewritten(
        argument, lambda given: read(given) if isinstance(given, Value) else LOOK_INSIDE
    )


Compute = Callable[[Layer, Any, Sequence[Value]], Array | tuple[Array, ...]]
Mask = Callable[[Any, Sequence[Value]], Array | None]
OutputShape = Callable[[Any, Sequence[Shape]], Shape | None]


@dataclass(frozen=True, eq=False)
class Form:
    """The NumPy form of the layers of one kind of options.

    Attributes:
        compute: From the layer, its options and its flat inputs to its output array, or to a tuple
            of them.
        mask: From the options and the inputs to the mask of the output.
        shape: From the options and the shapes of the inputs to the shape of the output.
        casts: Whether float inputs are cast to the layer's dtype; those of an Embedding are not
            (keras 3.15.1, layers/core/embedding.py, ``autocast=False``).
    """

    compute: Compute
    mask: Mask
    shape: OutputShape
    casts: bool = True

    def apply(self, layer: Layer, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """Runs the layer on its flat inputs, float arrays cast to its compute dtype.

        Raises:
            ModelFileError: Its config, its weights and its inputs do not fit together.
        """
        with _blaming(layer):
            given = [_cast(value, layer.dtype) for value in inputs] if self.casts else inputs
            outputs = self.compute(layer, layer.options, given)
            mask = self.mask(layer.options, given)
            stated = self.shape(layer.options, [value.array.shape for value in given])
        arrays = outputs if isinstance(outputs, tuple) else (outputs,)
        if stated is not None and not fits(arrays[0].shape, stated):
            raise ModelFileError(
                f"layer {layer.label}: its weights give {shape_text(arrays[0].shape)}, its config "
                f"says {shape_text([size or 'any' for size in stated])}"
            )
        return tuple(Value(array, mask) for array in arrays)

    def output_shape(self, layer: Layer, shapes: Sequence[Shape]) -> Shape | None:
        """The shape of the layer's output, from those of its inputs; None where it is not known.

        Raises:
            ModelFileError: Its config and these shapes do not fit together.
        """
        with _blaming(layer):
            return self.shape(layer.options, shapes)


@contextmanager
def _blaming(layer: Layer) -> Iterator[None]:
    """Says of what goes wrong that it is the file's: a form takes config and weights on trust."""
    try:
        yield
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
    """The mask rule of a layer that hands on the mask of its first input."""
    return inputs[0].mask


def no_mask(options: Any, inputs: Sequence[Value]) -> None:
    """The mask rule of a layer that hands on none."""
    return


def same_shape(options: Any, shapes: Sequence[Shape]) -> Shape:
    """The shape rule of a layer that keeps its first input's shape."""
    return shapes[0]
