"""The instrumented cells: the equations of recurrent layers in NumPy, and nothing else."""

from lstm_inspect.cells.activations import ACTIVATIONS
from lstm_inspect.cells.conv_lstm import ConvLstmCell
from lstm_inspect.cells.convolution import convolve, windows_of
from lstm_inspect.cells.gru import GruCell
from lstm_inspect.cells.loop import Cell, run
from lstm_inspect.cells.lstm import LstmCell
from lstm_inspect.cells.simple_rnn import SimpleRnnCell

__all__ = [
    "ACTIVATIONS",
    "Cell",
    "ConvLstmCell",
    "GruCell",
    "LstmCell",
    "SimpleRnnCell",
    "convolve",
    "run",
    "windows_of",
]
