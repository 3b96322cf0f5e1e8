"""What runs a cell over sequences."""

from lstm_inspect.engines.numpy_engine import bytes_of_run, run
from lstm_inspect.engines.work import TIME_BLOCK, Computed, Wanted, Work

__all__ = ["TIME_BLOCK", "Computed", "Wanted", "Work", "bytes_of_run", "run"]
