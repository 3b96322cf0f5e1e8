"""Reads the recurrent layers of a config, with their arrays, into canonical `Recurrence` form."""

from collections.abc import Sequence
from typing import Any

from lstm_inspect.arrays import NamedArray
from lstm_inspect.cells import (
    CONV_LSTM,
    GRU,
    LSTM,
    PEEPHOLE_LSTM,
    SIMPLE_RNN,
    CellKind,
    Convolution,
)
from lstm_inspect.model import Recurrence
from lstm_inspect.sources.keras.cell_weights import canonical_weights, turned_round
from lstm_inspect.sources.keras.layer_config import LayerConfig

_KINDS = {
    "LSTM": LSTM,
    "LSTMCell": LSTM,
    "UnifiedLSTM": LSTM,  # its name in previews of TensorFlow 2
    "CuDNNLSTM": LSTM,
    "GRU": GRU,
    "GRUCell": GRU,
    "UnifiedGRU": GRU,
    "CuDNNGRU": GRU,
    "SimpleRNN": SIMPLE_RNN,
    "SimpleRNNCell": SIMPLE_RNN,
    "PeepholeLSTMCell": PEEPHOLE_LSTM,
    "ConvLSTM1D": CONV_LSTM,
    "ConvLSTM2D": CONV_LSTM,
    "ConvLSTM3D": CONV_LSTM,
}
_DEFAULT_ACTIVATIONS = {"activation": "tanh", "recurrent_activation": "sigmoid"}


def kind_of(cell: LayerConfig) -> CellKind:
    """The kind of a built-in recurrent cell."""
    return _KINDS[cell.class_name]


def cell_configs(layer: LayerConfig) -> list[LayerConfig]:
    """The configs of the cells of a recurrent layer; empty if it is not recurrent, or is custom.

    ``LSTM`` is its own cell. ``RNN`` wraps one cell, or several stacked ones.
    """
    cells = wrapped_cells(layer) if layer.class_name == "RNN" else [layer]
    return cells if all(cell.class_name in _KINDS for cell in cells) else []


def wrapped_cells(rnn: LayerConfig) -> list[LayerConfig]:
    """The configs of the cells of an ``RNN``, built-in or custom."""
    cell = rnn.child("cell")
    return cell.children("cells") if cell.class_name == "StackedRNNCells" else [cell]


def is_recurrent(layer: LayerConfig) -> bool:
    """Whether a layer, or the layer that it wraps, is a built-in recurrent one."""
    if layer.class_name in ("Bidirectional", "TimeDistributed"):
        return is_recurrent(layer.child("layer"))
    return bool(cell_configs(layer))


def read_recurrence(
    layer: LayerConfig,
    cell: LayerConfig,
    arrays: Sequence[NamedArray],
    path: str,
    **overrides: Any,
) -> Recurrence:
    """Reads one recurrence.

    Args:
        layer: The config of the layer. It says how the layer runs over time.
        cell: The config of its cell. For a layer such as LSTM it is the same config.
        arrays: The arrays of the cell, in the order of Keras's ``layer.weights``, by their names in
            the file.
        path: Its name in tables and dumps.
        **overrides: Fields of `Recurrence` that a wrapper decides.

    Raises:
        ModelFileError: The arrays are missing, or do not have the shapes that the config states.
    """
    kind = kind_of(cell)
    own = canonical_weights(path, kind, cell.flag("use_bias", default=True), arrays)
    if kind is CONV_LSTM and cell.dialect.is_theano:
        own = turned_round(own)
    fields: dict[str, Any] = {
        "go_backwards": layer.flag("go_backwards"),
        "return_sequences": layer.flag("return_sequences"),
        "return_state": layer.flag("return_state"),
        "stateful": layer.flag("stateful"),
        "zero_output_for_mask": layer.flag("zero_output_for_mask"),
        "unroll": layer.flag("unroll"),
        "time_major": layer.flag("time_major"),
    }
    if layer.dtype != cell.dtype and cell.dialect.keras == 3:
        # keras 3.15.1, layers/rnn/rnn.py, `call`; Keras 2 cannot run such a layer.
        fields |= {"input_dtype": layer.dtype, "output_dtype": layer.dtype}
    fields |= overrides
    if kind is CONV_LSTM and cell.dialect.keras < 3:
        # Keras 2 writes this option of a ConvLSTM, and a Bidirectional sets it, but the layer does
        # not read it (tf_keras 2.21.0, layers/rnn/base_conv_rnn.py, `ConvRNN.call`).
        fields["zero_output_for_mask"] = False
    return Recurrence(
        path=path,
        kind=kind,
        units=cell.size("filters" if kind is CONV_LSTM else "units"),
        weights=own.weights,
        stored=own.stored,
        # The config of a CuDNN layer has no activations: it always uses the defaults.
        activations={
            name: cell.activation(name, default=_DEFAULT_ACTIVATIONS[name])
            for name in kind.activations
        },
        options=_options(kind, cell),
        drops=any(cell.config.get(key) for key in ("dropout", "recurrent_dropout")),
        dtype=cell.dtype,
        **fields,
    )


def _options(kind: CellKind, cell: LayerConfig) -> dict[str, Any]:
    if kind is GRU:
        # A config without the option is older than the option, and means False (keras 2.1.3,
        # layers/recurrent.py, `GRU`). CuDNN never had it, and always means True.
        is_cudnn = cell.class_name == "CuDNNGRU"
        return {"reset_after": cell.flag("reset_after", default=is_cudnn)}
    if kind is CONV_LSTM:
        return {"convolution": _convolution(cell)}
    return {}


def _convolution(layer: LayerConfig) -> Convolution:
    rank = int(layer.class_name[len("ConvLSTM")])
    data_format = layer.choice("data_format", ("channels_last", "channels_first"))
    return Convolution(
        strides=layer.sizes("strides", rank),
        dilation=layer.sizes("dilation_rate", rank),
        padding=layer.choice("padding", ("valid", "same", "half")),
        state_padding="half" if layer.dialect.is_theano else "same",
        channels_first=data_format == "channels_first",
    )
