"""Reads the recurrent cells in checkpoints of TensorFlow 1."""

from lstm_inspect.sources.tensorflow.saver import is_of_tensorflow, read_tensorflow

__all__ = ["is_of_tensorflow", "read_tensorflow"]
