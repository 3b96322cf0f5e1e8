"""What each layer and operation in NumPy reserves before it computes, against what it takes."""

import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from lstm_inspect.errors import InspectError
from lstm_inspect.layers import Value, bytes_needed, form_of
from lstm_inspect.layers.operations import FUNCTIONS, operation_of
from lstm_inspect.model import Layer, Operation
from lstm_inspect.nested import LOOK_INSIDE, leaves, rewritten
from lstm_inspect.sources.keras.layer_options import READERS
from tests.conftest import Array
from tests.keras.test_operations_against_keras import calls_of, parameters_of
from tests.layer_cases import cases_of

pytestmark = pytest.mark.keras

keras = pytest.importorskip("keras")

LARGE = 1 << 19
SMALL = 1 << 14  # Python objects


def enlarged(array: Array) -> Array:
    """An array of more samples, so that its numbers outweigh all else."""
    return np.concatenate([array] * max(1, LARGE // array.nbytes)) if array.ndim else array


def taken(compute: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        with np.errstate(all="ignore"):
            result = compute()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result is not None
    return peak


@pytest.mark.parametrize("name", sorted(name for name in READERS if hasattr(keras.layers, name)))
def test_a_layer_takes_no_more_than_it_reserves(name: str) -> None:
    too_much = []
    for case in cases_of(3, name, is_brief=True):
        if isinstance(case.layer, InspectError):
            continue
        layer, form = case.layer, form_of(case.layer, case.kwargs)
        if form is None:
            continue
        given = [
            Value(enlarged(value.array), None if value.mask is None else enlarged(value.mask))
            for value in leaves(case.args)
        ]
        try:
            reserved = form.bytes_needed(layer, given)
            peak = taken(partial(form.apply, layer, given))
        except InspectError:
            continue  # tensors of different sizes that no longer fit together
        if peak > reserved + SMALL:
            too_much.append(f"{peak} of {reserved}: {case.where}")
    assert not too_much, "\n".join(too_much)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operation_takes_no_more_than_it_reserves(name: str) -> None:
    too_much = []
    for kind, args in calls_of(name):
        given = rewritten(
            args, lambda each: enlarged(each) if isinstance(each, np.ndarray) else LOOK_INSIDE
        )
        for parameters in parameters_of(name):
            layer = Layer(
                name="it",
                class_name=name,
                framework="Keras",
                options=Operation(name=name, parameters=parameters),
                config={},
            )
            function = operation_of(layer, given, {})
            try:
                peak = taken(partial(function, given, {}))
            except (TypeError, ValueError, IndexError):
                continue  # what does not fit together
            if peak > (reserved := bytes_needed((given, {}))) + SMALL:
                too_much.append(f"{peak} of {reserved}: {kind} {parameters}")
    assert not too_much, "\n".join(too_much)
