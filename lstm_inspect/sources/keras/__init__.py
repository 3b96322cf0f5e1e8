"""Reads models of every Keras version; only this package knows how the versions differ."""

from lstm_inspect.sources.keras.reader import read_keras
from lstm_inspect.sources.keras.stores.by_content import is_of_keras

__all__ = ["is_of_keras", "read_keras"]
