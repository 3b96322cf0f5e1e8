import numpy as np
import pytest

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.cells.gate_activations import GateActivations
from tests.conftest import random


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gates_are_activated_together_to_the_bit_as_each_alone(name: str, dtype: str) -> None:
    names = ("sigmoid", "sigmoid", name, "tanh", "sigmoid")
    x, weights = random(4, 3).astype(dtype), random(3, len(names) * 2).astype(dtype)
    activate = GateActivations(*names)
    together = (x @ activate.folded(weights)).reshape(4, len(names), 2)
    activate(together)
    alone = (x @ weights).reshape(together.shape)
    for number, each in enumerate(names):
        ACTIVATIONS[each](alone[:, number])
    np.testing.assert_array_equal(together, alone, strict=True)


def test_one_pass_serves_the_sigmoids_and_tanhs_that_lie_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = []

    def counted(z: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        passes.append(z.shape)

    monkeypatch.setitem(ACTIVATIONS, "tanh", counted)
    activate = GateActivations("sigmoid", "sigmoid", "sigmoid", "tanh")
    activate(np.zeros((2, 4, 3), np.float32))
    assert passes == [(2, 4, 3)]
