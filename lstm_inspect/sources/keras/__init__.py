"""Models that any version of Keras saved; the only room that knows how the versions differ."""

from lstm_inspect.sources.keras.reader import read_keras
from lstm_inspect.sources.keras.stores.by_content import is_of_keras

__all__ = ["is_of_keras", "read_keras"]
