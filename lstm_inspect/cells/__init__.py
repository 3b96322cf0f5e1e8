"""The instrumented cells: the equations of recurrent layers in NumPy, and nothing else."""

from lstm_inspect.cells.activations import ACTIVATIONS
from lstm_inspect.cells.loop import Cell, run
from lstm_inspect.cells.lstm import LstmCell

__all__ = ["ACTIVATIONS", "Cell", "LstmCell", "run"]
