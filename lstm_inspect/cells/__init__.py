"""The instrumented cells: the facts of each kind of cell, and its equations in NumPy.

To add a kind, write a module with its `CellKind` and its cell, and add the cell to `CELLS`.
"""

from collections.abc import Callable

from lstm_inspect.cells.activations import ACTIVATIONS
from lstm_inspect.cells.cell import Cell, Scratch
from lstm_inspect.cells.conv_lstm import CONV_LSTM, ConvLstmCell
from lstm_inspect.cells.convolution import SPATIAL_DIMS, Convolution, Moves, convolve, windows_of
from lstm_inspect.cells.gru import GRU, GruCell
from lstm_inspect.cells.kind import Axis, CellKind, Weight
from lstm_inspect.cells.lstm import LSTM, PEEPHOLE_LSTM, LstmCell, PeepholeLstmCell
from lstm_inspect.cells.simple_rnn import SIMPLE_RNN, SimpleRnnCell
from lstm_inspect.cells.tf_lstm import TF_LSTM, TfLstmCell

CELLS: dict[CellKind, Callable[..., Cell]] = {
    LSTM: LstmCell,
    GRU: GruCell,
    SIMPLE_RNN: SimpleRnnCell,
    PEEPHOLE_LSTM: PeepholeLstmCell,
    CONV_LSTM: ConvLstmCell,
    TF_LSTM: TfLstmCell,
}
"""The cell of each kind; it takes weights, activations and options as keyword arguments."""


def all_signals() -> tuple[str, ...]:
    """All signals that can be recorded, of any kind of cell."""
    return tuple(dict.fromkeys(signal for kind in CELLS for signal in kind.signals))


__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "CONV_LSTM",
    "GRU",
    "LSTM",
    "PEEPHOLE_LSTM",
    "SIMPLE_RNN",
    "SPATIAL_DIMS",
    "TF_LSTM",
    "Axis",
    "Cell",
    "CellKind",
    "Convolution",
    "Moves",
    "Scratch",
    "Weight",
    "all_signals",
    "convolve",
    "windows_of",
]
