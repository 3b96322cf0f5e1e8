"""Recurrent layers of a config, with their arrays, to canonical `Recurrence` form."""

from collections.abc import Sequence

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats import Array
from lstm_inspect.model.graph import Recurrence
from lstm_inspect.model.layer_config import LayerConfig

RECURRENT_CLASSES = frozenset({"LSTM"})


def read_recurrence(
    layer: LayerConfig, arrays: Sequence[Array], path: str, *, in_bidirectional: bool = False
) -> Recurrence:
    """Reads a recurrent layer.

    Args:
        layer: Its config.
        arrays: kernel, recurrent_kernel and, with ``use_bias``, bias.
        path: Its name in tables and dumps.
        in_bidirectional: It is one direction of a Bidirectional, which forces
            ``zero_output_for_mask`` to ``return_sequences`` (keras 3.15.1 and 2.15.0,
            layers/rnn/bidirectional.py, ``force_zero_output_for_mask``).

    Raises:
        ModelFileError: The arrays are missing, or their shapes are not those of the config.
    """
    units = layer.size("units")
    return_sequences = layer.flag("return_sequences")
    return Recurrence(
        path=path,
        cell="lstm",
        units=units,
        features=int(arrays[0].shape[0]) if arrays and arrays[0].ndim else 0,
        weights=_lstm_weights(path, units, layer.flag("use_bias", default=True), arrays),
        activation=layer.activation("activation", "tanh"),
        recurrent_activation=layer.activation("recurrent_activation", "sigmoid"),
        go_backwards=layer.flag("go_backwards"),
        return_sequences=return_sequences,
        return_state=layer.flag("return_state"),
        stateful=layer.flag("stateful"),
        zero_output_for_mask=(
            return_sequences if in_bidirectional else layer.flag("zero_output_for_mask")
        ),
        dtype=layer.dtype,
    )


def _lstm_weights(
    path: str, units: int, use_bias: bool, arrays: Sequence[Array]
) -> dict[str, Array]:
    names = ("kernel", "recurrent_kernel", "bias")[: 3 if use_bias else 2]
    if len(arrays) != len(names):
        raise ModelFileError(
            f"layer {path}: expected {len(names)} arrays ({', '.join(names)}), "
            f"the file holds {len(arrays)}"
        )
    features = arrays[0].shape[0] if arrays[0].ndim else 0
    expected = ((features, 4 * units), (units, 4 * units), (4 * units,))
    for name, array, shape in zip(names, arrays, expected, strict=False):
        if array.shape != shape:
            raise ModelFileError(
                f"layer {path}: expected {name} of shape {shape} for {units} units, "
                f"the file holds {array.shape}"
            )
    return dict(zip(names, arrays, strict=True))
