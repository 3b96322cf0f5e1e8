"""Fits the arrays that the user gives to the inputs of the model."""

import warnings
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.arrays import NUMBERS, Array, cast
from lstm_inspect.errors import InputError, InspectError, NonFiniteWarning, RoundingWarning
from lstm_inspect.files.mapped_file import first_where, pieces
from lstm_inspect.model import ModelInput, Shape, fits
from lstm_inspect.notation import advice, shape_text


class MissingInputError(InputError):
    """An input of the model is missing.

    Args:
        name: The input.
        what: What the model takes, and what there is.
    """

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"input {name}: missing; {what}")
        self.name = name


class Given(NamedTuple):
    """An array that a replay starts from.

    Attributes:
        array: All samples of it, as they were given.
        dtype: The dtype that the model takes; None for the one of the array.
    """

    array: Array
    dtype: str | None = None

    def samples(self, places: slice | list[int]) -> "Given":
        """Some samples of it; a slice takes no memory."""
        return self._replace(array=self.array[places])

    def fitted(self) -> Array:
        """The array in the dtype that the model takes."""
        return self.array if self.dtype is None else cast(self.array, self.dtype)


def bind_inputs(
    inputs: tuple[ModelInput, ...],
    given: Any,
    needed: Collection[str],
    allow_nonfinite: bool,
) -> dict[str, Given]:
    """Fits the given arrays to the model's inputs.

    Args:
        inputs: The model's inputs.
        given: One array, arrays by input name, or a list of them in the order of the inputs.
        needed: The names of the inputs that the result depends on; the others may be missing.
        allow_nonfinite: Whether NaN and infinity cause a warning instead of an error.

    Returns:
        The arrays by input name. They are not copied, as they may be larger than memory.

    Raises:
        InputError: A name is missing or unknown, or an array does not fit.

    Warns:
        NonFiniteWarning: An array holds NaN or infinity, and ``allow_nonfinite`` is set.
        RoundingWarning: An array was rounded to the dtype that the model takes.
    """
    named = {} if given is None else _by_name(inputs, given, needed)
    expected = {each.name: each for each in inputs}
    for name in named:
        if name not in expected:
            raise InputError(
                f"input {name}: the model has no input of that name; it takes {_list(expected)}"
            )
    for name in needed:
        if name not in named:
            raise MissingInputError(
                name, f"the model takes {_list(expected)}, received {', '.join(named) or 'none'}"
            )
    fitted = {
        name: _fit(expected[name], _array(name, array), allow_nonfinite)
        for name, array in named.items()
    }
    batches = {name: len(each.array) for name, each in fitted.items()}
    if len(set(batches.values())) > 1:
        raise InputError(
            "inputs: expected the same batch size for all, received "
            + ", ".join(f"{name} {batch}" for name, batch in batches.items())
        )
    return fitted


def bind_feed(
    feed: Mapping[str, Any], inputs: Mapping[str, Given], allow_nonfinite: bool
) -> dict[str, Given]:
    """Fits arrays that replace the output or the input of a layer.

    Args:
        feed: The arrays by path.
        inputs: The model's inputs; the arrays must have the same batch size.
        allow_nonfinite: Whether NaN and infinity cause a warning instead of an error.

    Raises:
        InputError: An array does not hold numbers, is not finite, or has another batch size.
    """
    fitted = {}
    for path, given in feed.items():
        array = _array(path, given)
        if array.dtype.kind not in "iufb" or array.ndim == 0 or 0 in array.shape:
            raise InputError(
                f"feed {path}: expected numbers, batch first, received {shape_text(array.shape)} "
                f"of {array.dtype}"
            )
        for name, other in inputs.items():
            if len(other.array) != len(array):
                raise InputError(
                    f"feed {path}: expected a batch of {len(other.array)} like input {name}, "
                    f"received {len(array)}"
                )
        check_finite(f"feed {path}:", array, allow_nonfinite, InputError)
        fitted[path] = Given(array)
    return fitted


def _by_name(
    inputs: tuple[ModelInput, ...], given: Any, needed: Collection[str]
) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        positional = [f"arr_{number}" for number in range(len(inputs))]
        if list(given) == positional:  # the names that numpy.savez(path, x, y) gives
            return {each.name: given[key] for each, key in zip(inputs, positional, strict=True)}
        return given
    if isinstance(given, (list, tuple)) and len(given) == len(inputs) > 1:
        return {each.name: array for each, array in zip(inputs, given, strict=True)}
    # One array is enough if the result depends on one input, however many the model has.
    names = [each.name for each in inputs if each.name in needed]
    if not names:
        raise InputError("input: expected none, as the feed replaces all inputs; received an array")
    if len(names) != 1:
        raise InputError(
            f"input: expected one array by name for each of {', '.join(names)}, "
            "received one array without a name"
        )
    return {names[0]: given}


def _array(name: str, given: Any) -> Array:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise InputError(f"input {name}: expected one array of numbers ({error})") from error


def _fit(expected: ModelInput, array: Array, allow_nonfinite: bool) -> Given:
    name = expected.name
    if array.dtype.kind not in "iufb":
        raise InputError(f"input {name}: expected numbers, received an array of {array.dtype}")
    shape = expected.shape
    takes = f"expected {_text(shape)}, received {_text(array.shape)}"
    if shape is not None and not fits(array.shape, shape):
        raise InputError(f"input {name}: {takes}{_remedy(array, shape)}")
    if array.ndim == 0:
        raise InputError(f"input {name}: expected an array, batch first, received one number")
    if 0 in array.shape:
        raise InputError(f"input {name}: {takes}; it is empty")
    check_finite(f"input {name}:", array, allow_nonfinite, InputError)
    if expected.dtype not in NUMBERS:
        return Given(array)
    _check_exact(name, array, expected.dtype)
    return Given(array, expected.dtype)


def _remedy(array: Array, shape: Shape) -> str:
    """What to do about an array of another shape than the model takes; empty if it is no slip."""
    turned = (*array.shape[1::-1], *array.shape[2:])
    if fits(array.shape, shape[1:]):
        return "; add the batch axis with x[numpy.newaxis]"
    if fits(turned, shape):
        return "; swap batch and timesteps with x.swapaxes(0, 1)"
    if fits((*array.shape, 1), shape):
        return "; add the features axis with x[..., numpy.newaxis]"
    if array.shape[-1:] == (1,) and fits(array.shape[:-1], shape):
        return "; drop the last axis with x[..., 0]"
    if fits(array.shape[:-1], shape):
        return "; if these are one-hot vectors, make tokens of them with x.argmax(-1)"
    return ""


def check_finite(
    what: str, array: Array, allow_nonfinite: bool, refusal: type[InspectError]
) -> None:
    """Refuses NaN and infinity, or warns of them if they are allowed; names the first place.

    Args:
        what: The start of the message, up to "not finite".
        array: Any numbers.
        allow_nonfinite: Whether NaN and infinity cause a warning instead of an error.
        refusal: The error to raise.
    """
    if array.dtype.kind != "f":
        return
    first = first_where(array, lambda piece: ~np.isfinite(piece))
    if first is None:
        return
    message = f"{what} not finite, first {array[first]} at {[*first]}"
    if not allow_nonfinite:
        option = advice(python="allow_nonfinite=True", command_line="--allow-nonfinite")
        raise refusal(f"{message}; allow it with {option}")
    warnings.warn(NonFiniteWarning(message), stacklevel=2)


def _check_exact(name: str, array: Array, dtype: str) -> None:
    """Refuses numbers that the dtype of the model cannot hold; warns if it rounds a fraction.

    Keras casts an input before it masks it, so another number could be another mask.
    """
    if array.dtype.name == dtype:
        return
    wrong = first_where(array, lambda piece: _casts(piece, dtype).are_wrong)
    if wrong is not None:
        raise InputError(
            f"input {name}: expected numbers that {dtype} can hold, received "
            f"{array[wrong]} at {[*wrong]}"
        )
    most = max(_casts(piece, dtype).rounded_by for _, piece in pieces(array))
    if most:
        message = (
            f"input {name}: rounded from {array.dtype} to the model's {dtype}, by up to {most:.1e}"
        )
        warnings.warn(RoundingWarning(message), stacklevel=2)


class _Casts(NamedTuple):
    """What a cast does to numbers.

    Attributes:
        are_wrong: Which become other numbers: whole ones, or fractions that become infinite.
        rounded_by: By how much the others are rounded at most.
    """

    are_wrong: Array
    rounded_by: float


def _casts(array: Array, dtype: str) -> _Casts:
    with np.errstate(over="ignore", invalid="ignore"):
        fitted = cast(array, dtype)
        lost = fitted.astype(array.dtype) != array
        if fitted.dtype.kind == "f":
            lost &= np.isfinite(array)
    if not lost.any():
        return _Casts(lost, 0.0)
    are_fractions = array.dtype.kind == fitted.dtype.kind == "f"
    are_wrong = lost & ~np.isfinite(fitted) if are_fractions else lost
    rounded = lost & ~are_wrong
    by = np.abs(fitted[rounded] - array[rounded]).max(initial=0)
    return _Casts(are_wrong, float(by))


_AXES = {
    1: ("batch",),
    2: ("batch", "timesteps"),  # a layer knows its number of features
    3: ("batch", "timesteps", "features"),
}


def _text(shape: Shape | tuple[int, ...] | None) -> str:
    if shape is None:
        return "an array"
    names = _AXES.get(len(shape), ("batch",) + ("any",) * len(shape))[: len(shape)]
    return shape_text(
        [name if size is None else size for name, size in zip(names, shape, strict=True)]
    )


def _list(expected: Mapping[str, ModelInput]) -> str:
    return ", ".join(f"{name} {_text(each.shape)}" for name, each in expected.items())
