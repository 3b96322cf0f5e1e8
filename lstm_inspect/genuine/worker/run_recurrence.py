"""Builds one genuine recurrent layer, and runs it."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.worker.keras_library import as_array, keras_may_reject


def run_recurrence(
    library: ModuleType,
    class_name: str,
    units: int,
    settings: Mapping[str, Any],
    activations: Mapping[str, str],
    weights: Mapping[str, Array],
    x: Array,
    mask: Array | None,
    initial_state: Sequence[Array],
) -> list[Array]:
    """Runs a recurrent layer.

    Args:
        library: Keras.
        class_name: A class in ``library.layers``.
        units: Its units, or the filters of a ConvLSTM.
        settings: Its other settings, except for its activations.
        activations: The names of its activations, as in `lstm_inspect.cells.ACTIVATIONS`.
        weights: Its arrays by name.
        x: (batch, timesteps, ...).
        mask: (batch, timesteps); None if every step counts.
        initial_state: The initial states.

    Returns:
        The sequence, in the order in which the layer reads, and the final states.
    """
    with keras_may_reject():
        layer = getattr(library.layers, class_name)(
            units,
            **settings,
            **{key: _activation(library, name) for key, name in activations.items()},
            # The default, orthogonal, has no form in bfloat16, and the weights are set anyway.
            recurrent_initializer="zeros",
            return_sequences=True,
            return_state=True,
        )
        layer.build(x.shape)
        layer.set_weights([weights[weight.name] for weight in layer.weights])
        outputs = layer(x, initial_state=list(initial_state), mask=mask, training=False)
        return [as_array(library, output) for output in outputs]


def _activation(library: ModuleType, name: str) -> Any:
    if name == "hard_sigmoid_0.2":
        return lambda x: library.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
    return name
