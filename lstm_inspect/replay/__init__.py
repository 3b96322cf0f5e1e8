"""The replay: walks the calls of a plan, and records what its recurrent layers do."""

from lstm_inspect.replay.run import SIGNALS, Progress, trace

__all__ = ["SIGNALS", "Progress", "trace"]
