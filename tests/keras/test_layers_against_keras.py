"""Each layer that can be run, with each of its parameters, against the genuine layer of Keras.

The cases are generated (see `tests.layer_cases`): every class of the NumPy tables and of the
bridge, in both generations of Keras, with each value of each parameter that its signature has.
"""

import numpy as np
import pytest

from lstm_inspect.errors import InspectError
from lstm_inspect.genuine.bridge import BUILT_IN
from lstm_inspect.nested import leaves
from lstm_inspect.sources.keras.layer_options import READERS
from tests.layer_cases import Case, cases_of, computed, difference, misstated
from tests.layer_values import changeable

pytestmark = pytest.mark.keras

GENERATIONS = {
    3: pytest.importorskip("keras.layers"),
    2: pytest.importorskip("tf_keras").layers,
}
CLASSES = [
    (generation, name)
    for name in sorted({*READERS, *BUILT_IN})
    for generation, layers in GENERATIONS.items()
    if hasattr(layers, name)
]
REFUSED = {("Dense", "lora_rank"), ("Embedding", "lora_rank")}
"""Parameters that are refused: an ``.h5`` has two more arrays for them, in another order."""


def is_refused(name: str, case: Case) -> bool:
    return any(case.settings.get(key) is not None for owner, key in REFUSED if owner == name)


def judged(case: Case) -> str | None:
    """How a case differs from genuine Keras; None if it does not."""
    inputs = [value.array for value in leaves(case.args)]
    before = [array.copy() for array in inputs]
    try:
        problem = difference(computed(case), case)
    except InspectError as error:
        return str(error)
    kept = all(map(np.array_equal, inputs, before))
    return problem if kept else "the input was changed"


@pytest.mark.parametrize(("generation", "name"), CLASSES)
def test_a_layer_computes_what_keras_computes_in_the_shape_that_it_states(
    generation: int, name: str
) -> None:
    compared, wrong = 0, []
    untried = changeable(getattr(GENERATIONS[generation], name))
    for case in cases_of(generation, name, is_brief=name not in READERS):
        if is_refused(name, case):
            with pytest.raises(InspectError):
                computed(case)
            continue
        compared += 1
        untried -= case.settings.keys()
        if problem := judged(case) or misstated(case):
            wrong.append(f"{problem}: {case.where}")
    assert not wrong, "\n".join([f"{len(wrong)} of {compared}", *wrong[:20]])
    assert compared
    assert untried == {key for owner, key in REFUSED if owner == name and key in untried}


@pytest.mark.parametrize(("generation", "name"), CLASSES)
def test_a_setting_that_no_keras_has_is_refused_and_not_ignored(generation: int, name: str) -> None:
    case = next(cases_of(generation, name, is_brief=True, made_up=3))
    with pytest.raises(InspectError):
        computed(case)
