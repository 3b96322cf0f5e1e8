import math
from typing import Any

import numpy as np
import pytest

from lstm_inspect import LayerTrace, Trace
from lstm_inspect.traces.statistics import ArrayStats, stats_of

INF, NAN = math.inf, math.nan


def stats(array: Any) -> ArrayStats:
    """The figures of one recorded array."""
    layer = LayerTrace(
        path="lstm", cell="lstm", units=1, direction="forward", signals={"h": np.asarray(array)}
    )
    (figures,) = stats_of(Trace(layers={"lstm": layer}, model={}).arrays())
    return figures


def test_the_figures_of_an_array() -> None:
    assert stats(np.array([[[-1.5], [0.5], [4.0]]], "float32")) == ArrayStats(
        key="lstm/h",
        shape=(1, 3, 1),
        dtype="float32",
        low=-1.5,
        mean=1.0,
        high=4.0,
        nonfinite=0,
    )


def test_there_are_figures_of_every_array_in_order() -> None:
    layers = {
        path: LayerTrace(
            path=path,
            cell="lstm",
            units=1,
            direction="forward",
            signals={"h": np.zeros((1, 2, 1)), "mask": np.ones((1, 2), bool)},
        )
        for path in ("a", "b")
    }
    figures = list(stats_of(Trace(layers=layers, model={}).arrays()))
    assert [each.key for each in figures] == ["a/h", "a/mask", "b/h", "b/mask"]


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    figures = stats([NAN, -INF, 1.0, 3.0, INF])
    assert (figures.low, figures.mean, figures.high, figures.nonfinite) == (1, 2, 3, 3)


@pytest.mark.parametrize("array", [[NAN, INF], []], ids=["nothing-finite", "empty"])
def test_without_a_finite_number_the_figures_are_nan(array: list[float]) -> None:
    figures = stats(array)
    assert figures.nonfinite == len(array)
    assert all(math.isnan(value) for value in (figures.low, figures.mean, figures.high))


def test_the_mean_of_many_small_floats_does_not_overflow() -> None:
    assert stats(np.full(1000, 60000, "float16")).mean == 60000


def test_a_mask_has_figures_too() -> None:
    figures = stats(np.array([True, False, True, True]))
    assert (figures.low, figures.mean, figures.high) == (0, 0.75, 1)
