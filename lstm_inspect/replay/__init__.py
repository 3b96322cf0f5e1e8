"""The replay: walks the calls of a plan, and records what its recurrent layers do."""

from lstm_inspect.replay.run import SIGNALS, Replayed, replay, trace
from lstm_inspect.replay.walk import CustomLayer, Progress

__all__ = ["SIGNALS", "CustomLayer", "Progress", "Replayed", "replay", "trace"]
