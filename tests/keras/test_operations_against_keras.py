"""Each NumPy operation, with each of its parameters, against the genuine operation of Keras.

The cases are generated: every operation of the table, on floats, integers and booleans of several
ranks, with each value of each parameter that its signature has.
"""

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lstm_inspect.layers.operations import FUNCTIONS, operation_of
from lstm_inspect.model import Layer, Operation
from lstm_inspect.nested import LOOK_INSIDE, rewritten
from tests.conftest import Array, random

pytestmark = pytest.mark.keras

ARRAYS = {
    "float32": random(2, 3, 4),
    "positive": np.abs(random(2, 3, 4)) + 0.5,
    "float16": random(2, 3).astype("float16"),
    "int32": np.arange(-3, 3, dtype="int32").reshape(2, 3),
    "bool": np.array([[True, False, True], [False, False, True]]),
    "with 1": random(2, 1, 3),
    "int8": np.arange(6, dtype="int8").reshape(2, 3),
    "uint8": np.arange(6, dtype="uint8").reshape(2, 3),
    "int64": np.arange(-3, 3).reshape(2, 3),
}
KEYS = [0, -1, slice(None, None, -1), (slice(None), 1), (..., 0), (slice(1), None)]
VALUES: dict[str, list[Any]] = {
    "axis": [None, 0, 1, -1, [0, 1], [-1]],
    "keepdims": [False, True],
    "initial": [None, 0.25, 3],
    "dtype": [None, "float16", "bfloat16", "float64", "int32", "bool"],
    "axes": [None, [1, 0], [0, 2, 1]],
    "newshape": [[-1], [3, -1], [2, -1, 1]],
}


def genuine(name: str) -> Any:
    from keras.src.ops import core, nn, numpy

    return next(vars(each)[name] for each in (numpy, nn, core) if name in vars(each))


def calls_of(name: str) -> Iterator[tuple[str, list[Any]]]:
    """Positional arguments to call an operation with, and what they are."""
    signature = inspect.signature(FUNCTIONS[name])
    taken = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    names = [parameter.name for parameter in taken]
    for kind, x in ARRAYS.items():
        match names:
            case ["x", "key"]:
                yield from ((f"{kind}-{key}", [x, key]) for key in KEYS)
            case ["x"] if name == "Stack":
                yield kind, [[x, x]]
            case ["xs"]:
                yield kind, [[x, x]]
                yield f"{kind}-floats", [[x, np.float32(x)]]
            case ["x"]:
                yield kind, [x]
            case ["x1", "x2"]:
                yield f"{kind}-itself", [x, x]
                yield f"{kind}-number", [x, 2]
                yield f"number-{kind}", [2.5, x]
                yield f"{kind}-row", [x, x[:1]]
                yield f"{kind}-floats", [x, np.float32(x)]
            case ["condition", "x1", "x2"]:
                yield kind, [x > 0, x, x[::-1]]
                yield f"{kind}-number", [x > 0, x, 2.5]
                yield f"{kind}-floats", [x > 0, x, np.float32(x)]


def parameters_of(name: str) -> list[dict[str, Any]]:
    """Every combination of values of the parameters of an operation."""
    signature = inspect.signature(FUNCTIONS[name])
    keys = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    one_axis = [0, 1, -1]
    joins = name in ("Concatenate", "Stack")
    values = itertools.product(*(one_axis if joins else VALUES[key] for key in keys))
    return [dict(zip(keys, each, strict=True)) for each in values]


def computed(name: str, args: list[Any], parameters: dict[str, Any]) -> Array | None:
    """What the genuine operation gives; None if it refuses."""
    import keras

    lists = {key: tuple(v) if isinstance(v, list) else v for key, v in parameters.items()}
    tensors = rewritten(
        args,
        lambda v: keras.ops.convert_to_tensor(v) if isinstance(v, np.ndarray) else LOOK_INSIDE,
    )
    try:
        output = genuine(name)(**lists)(*tensors)
    except Exception:
        return None
    if keras.backend.standardize_dtype(output.dtype) == "bfloat16":
        output = keras.ops.cast(output, "float32")
    array: Array = keras.ops.convert_to_numpy(output)
    return array


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operation_computes_what_keras_computes(name: str) -> None:
    compared = 0
    for kind, args in calls_of(name):
        for parameters in parameters_of(name):
            expected = computed(name, args, parameters)
            if expected is None:
                continue  # what Keras refuses stands in no model
            layer = Layer(
                name="it",
                class_name=name,
                framework="Keras",
                options=Operation(name=name, parameters=parameters),
                config={},
            )
            function = operation_of(layer, args, {})
            assert function is not None, (kind, parameters)
            with np.errstate(all="ignore"):  # roots of negative numbers are NaN in both
                found = function(args, {})
            where = f"{kind}, {parameters}"
            assert found.shape == expected.shape, where
            is_half = expected.dtype == "float16"
            np.testing.assert_allclose(
                found.astype("float64"),
                expected.astype("float64"),
                rtol=2e-3 if is_half else 1e-5,
                atol=2e-3 if is_half else 1e-6,
                err_msg=where,
            )
            assert found.dtype == expected.dtype, where
            compared += 1
    assert compared
