"""Recurrent layers of a config, with their arrays, to canonical `Recurrence` form."""

from collections.abc import Sequence
from typing import Any

from lstm_inspect.formats import Array
from lstm_inspect.model.cell_weights import canonical_weights, turn_kernels
from lstm_inspect.model.graph import Convolution, Recurrence
from lstm_inspect.model.layer_config import LayerConfig

_CELLS = {
    "LSTM": "lstm",
    "LSTMCell": "lstm",
    "CuDNNLSTM": "lstm",
    "GRU": "gru",
    "GRUCell": "gru",
    "CuDNNGRU": "gru",
    "SimpleRNN": "simple_rnn",
    "SimpleRNNCell": "simple_rnn",
    "PeepholeLSTMCell": "peephole_lstm",
    "ConvLSTM1D": "conv_lstm",
    "ConvLSTM2D": "conv_lstm",
    "ConvLSTM3D": "conv_lstm",
}


def cell_kind(cell: LayerConfig) -> str:
    """The kind of a built-in recurrent cell."""
    return _CELLS[cell.class_name]


def cell_configs(layer: LayerConfig) -> list[LayerConfig]:
    """The configs of a recurrent layer's cells; none if the layer is not recurrent, or is custom.

    ``LSTM`` is its own cell; ``RNN`` wraps one, or several stacked ones.
    """
    if layer.class_name == "RNN":
        cell = layer.child("cell")
        stacked = cell.class_name == "StackedRNNCells"
        cells = cell.children("cells") if stacked else [cell]
    else:
        cells = [layer]
    return cells if all(cell.class_name in _CELLS for cell in cells) else []


def read_recurrence(
    layer: LayerConfig,
    cell: LayerConfig,
    arrays: Sequence[Array],
    path: str,
    **overrides: Any,
) -> Recurrence:
    """Reads one recurrence.

    Args:
        layer: The layer's config: how it runs over time.
        cell: Its cell's config, the same for a layer such as LSTM.
        arrays: The cell's arrays, in the order of Keras's ``layer.weights``.
        path: Its name in tables and dumps.
        **overrides: Fields of `Recurrence` that a wrapper decides.

    Raises:
        ModelFileError: The arrays are missing, or their shapes are not those of the config.
    """
    kind = cell_kind(cell)
    units = cell.size("filters" if kind == "conv_lstm" else "units")
    if kind == "conv_lstm" and cell.dialect.is_theano:
        arrays = turn_kernels(arrays)
    weights = canonical_weights(path, kind, units, cell.flag("use_bias", default=True), arrays)
    fields: dict[str, Any] = {
        "go_backwards": layer.flag("go_backwards"),
        "return_sequences": layer.flag("return_sequences"),
        "return_state": layer.flag("return_state"),
        "stateful": layer.flag("stateful"),
        "zero_output_for_mask": layer.flag("zero_output_for_mask"),
        "unroll": layer.flag("unroll"),
        "time_major": layer.flag("time_major"),
    }
    return Recurrence(
        path=path,
        cell=kind,
        units=units,
        features=int(weights["kernel"].shape[-2]),
        weights=weights,
        activation=cell.activation("activation", default="tanh"),
        recurrent_activation=(
            None
            if kind == "simple_rnn"
            # A CuDNN layer has no such option, and always uses this one.
            else cell.activation("recurrent_activation", default="sigmoid")
        ),
        # keras 2.1.3, layers/recurrent.py, `GRU`: before it had the option, it had False.
        reset_after=kind == "gru"
        and cell.flag("reset_after", default=cell.class_name == "CuDNNGRU"),
        convolution=_convolution(cell) if kind == "conv_lstm" else None,
        drops=any(cell.config.get(key) for key in ("dropout", "recurrent_dropout")),
        dtype=cell.dtype,
        **(fields | overrides),
    )


def _convolution(layer: LayerConfig) -> Convolution:
    rank = int(layer.class_name[len("ConvLSTM")])
    padding = layer.choice("padding", ("valid", "same"))
    same = "half" if layer.dialect.is_theano else "same"
    return Convolution(
        strides=layer.sizes("strides", rank),
        dilation=layer.sizes("dilation_rate", rank),
        padding=padding if padding == "valid" else same,
        state_padding=same,
        channels_first=layer.choice("data_format", ("channels_last", "channels_first"))
        == "channels_first",
    )
