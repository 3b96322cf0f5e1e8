"""Runs a recurrent layer, or the whole model, in genuine Keras to compare with the replay."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_inspect.arrays import Array
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.allowed import strange_objects
from lstm_inspect.genuine.process import PROCESS, KerasError
from lstm_inspect.genuine.pure_operations import OPERATIONS
from lstm_inspect.genuine.served_function import SIGNATURE, why_not_served
from lstm_inspect.model import Layer, Model, Operation, Recurrence

# The error names this if Keras is not installed.
_COMPARISON = "the comparison with Keras"

# Keras tells the format of a file by its name.
_SUFFIXES = {"keras": ".keras", "h5": ".h5"}


def run_recurrence(
    recurrence: Recurrence,
    x: Array,
    mask: Array,
    initial_state: Sequence[Array],
    limits: Limits,
) -> list[Array] | str:
    """Runs the genuine Keras layer of a recurrence, with its weights.

    Args:
        recurrence: The recurrence.
        x: (batch, timesteps, ...).
        mask: (batch, timesteps) bool, True where a step counts.
        initial_state: Its initial states, (batch, units) each.
        limits: How much memory and time Keras may take.

    Returns:
        The sequence, in the order in which the layer reads, and the final states; or one line that
        says why there are none.

    Raises:
        MissingExtraError: Keras is not installed.
    """
    kind, move = recurrence.kind, recurrence.convolution
    if kind.keras_layer is None or (move and move.state_padding != "same"):
        return f"today's Keras has no {recurrence.cell} layer"
    options: Mapping[str, Any] = recurrence.options
    if move:
        options = {
            "kernel_size": recurrence.window,
            "strides": move.strides,
            "dilation_rate": move.dilation,
            "padding": move.padding,
            "data_format": "channels_first" if move.channels_first else "channels_last",
        }
    try:
        outputs: list[Array] = _ask(
            "recurrence",
            "keras",
            limits,
            class_name=kind.keras_layer.format(rank=len(recurrence.window)),
            units=recurrence.units,
            settings={
                **options,
                "use_bias": "bias" in recurrence.weights,
                "go_backwards": bool(recurrence.go_backwards),
                "dtype": recurrence.dtype,
            },
            activations={key: name or "linear" for key, name in recurrence.activations.items()},
            weights=dict(recurrence.weights),
            x=x,
            mask=None if mask.all() else mask,
            initial_state=list(initial_state),
        )
    except KerasError as error:
        return f"Keras 3: {error}"
    return outputs


def run_served(
    model: Model, batches: Sequence[Mapping[str, Array]], limits: Limits
) -> dict[str, Array] | str:
    """Runs the serving function of a SavedModel, the graph that the saver's TensorFlow made.

    It runs only if everything in the function only computes. TensorFlow gets the files that were
    read, in a folder of their own.

    Args:
        model: The model.
        batches: Batches to run one after the other: an array for each of the model's inputs.
        limits: How much memory and time TensorFlow may take.

    Returns:
        The results for the last batch, by name, or one line that says why there are none.
    """
    source = model.source
    if model.why_unwired is not None:
        return model.why_unwired
    if why := why_not_served(source.data, str(source.path)):
        return why
    if len(batches[0]) != len(model.inputs):
        return "not all of its inputs are given"
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {**source.files, "saved_model.pb": source.data}.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        try:
            results: dict[str, Array] = _ask(
                "signature",
                "tensorflow",
                limits,
                folder=folder,
                signature=SIGNATURE,
                batches=[dict(batch) for batch in batches],
            )
        except KerasError as error:
            return f"TensorFlow: {error}"
    return results


class LayerValues(NamedTuple):
    """What a layer of the whole model got and gave in one call.

    Attributes:
        x: Its first input.
        outputs: Its outputs.
    """

    x: Array
    outputs: Sequence[Array]


def run_whole_model(
    model: Model, batches: Sequence[Mapping[str, Array]], names: Sequence[str], limits: Limits
) -> dict[str, list[LayerValues]] | str:
    """Runs the whole model in the Keras of its generation, loaded in safe mode.

    Keras 3 runs files of Keras 3; tf_keras, which is Keras 2, runs older ones. Either gets the file
    only if everything in its config is built in. It gets the bytes that were read, not the path.

    Args:
        model: The model.
        batches: Batches to run one after the other: an array for each of the model's inputs.
        names: Names of layers, with the names of the models around them in front.
        limits: How much memory and time Keras may take.

    Returns:
        The values of each call of each layer in the last batch, in the order of Keras; or one line
        that says why there are none.
    """
    if model.why_unwired is not None:
        return model.why_unwired
    if strange := strange_objects(model):
        return f"it has layers that are not built in ({', '.join(dict.fromkeys(strange))})"
    if len(batches[0]) != len(model.inputs):
        return "not all of its inputs are given"
    suffix = _SUFFIXES.get(model.source.format)
    if suffix is None:
        return f"Keras does not load the format {model.source.format} as a model"
    version = model.source.version or ""
    if version.startswith("1."):  # it had other names for all settings: output_dim, not units
        return "tf_keras does not load models of Keras 1"
    is_keras_3 = version.startswith("3.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{suffix}"
        path.write_bytes(model.source.data)
        try:
            calls = _ask(
                "model",
                "keras" if is_keras_3 else "tf_keras",
                limits,
                path=str(path),
                operations={
                    layer.options.name: OPERATIONS[layer.options.name]
                    for call in model.calls
                    if isinstance(layer := call.layer, Layer)
                    and isinstance(layer.options, Operation)
                },
                inputs=[each.name for each in model.inputs],
                batches=[dict(batch) for batch in batches],
                layers=list(names),
            )
        except KerasError as error:
            return f"{'Keras 3' if is_keras_3 else 'tf_keras'}: {error}"
    return {
        name: [LayerValues(*each) for each in own] for name, own in zip(names, calls, strict=True)
    }


def _ask(request: str, library: str, limits: Limits, **arguments: Any) -> Any:
    """Asks the process of Keras for something to compare with."""

    def reserve(size: int) -> None:
        limits.check("replay_bytes", size, _COMPARISON)

    return PROCESS.ask(request, library, _COMPARISON, limits, reserve, **arguments)
