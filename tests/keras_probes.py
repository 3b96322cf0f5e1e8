"""Shows what layers give in a replay: each output is the x of a probe, a recurrent layer behind it.

A trace records the x of every recurrent layer. So each output of a genuine layer can be compared
with that of its replay, whatever layer it is, through the public door alone.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lstm_inspect
from tests.keras_oracle import Array, Keras, KerasModel

KerasTensor = Any


def with_probes(
    keras: Keras, inputs: Sequence[KerasTensor], outputs: Mapping[str, KerasTensor]
) -> KerasModel:
    """A model with a probe of that name behind each of the outputs, which it reads as one step."""
    layers = keras.layers

    def probe(name: str, output: KerasTensor) -> KerasTensor:
        dtype = output.dtype if isinstance(output.dtype, str) else output.dtype.name
        # Keras cannot draw the weights of a layer that has them in half precision.
        policy = f"mixed_{dtype}" if dtype in ("float16", "bfloat16") else dtype
        step = layers.Reshape((1, -1), dtype=policy)(output)
        return layers.SimpleRNN(1, unroll=True, dtype=policy, name=name)(step)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Reshape drops a mask
        given = list(inputs) if len(inputs) > 1 else inputs[0]
        return keras.Model(given, [probe(*each) for each in outputs.items()])


def save(model: KerasModel, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # .h5 is called legacy
        model.save(path)


def as_read_by_probes(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs as a trace has them, if the probes of these names read them."""
    return {f"{name}/x": output.reshape(len(output), 1, -1) for name, output in outputs.items()}


def trace_of(path: Path, arrays: Sequence[Array], **options: Any) -> lstm_inspect.Trace:
    """Replays a model on the arrays of its inputs, in their order."""
    model = lstm_inspect.open_model(path)
    inputs = dict(zip((each.name for each in model.inputs), arrays, strict=True))
    return lstm_inspect.trace(model, inputs, record=("h", "c", "x"), **options)
