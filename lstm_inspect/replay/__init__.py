"""The replay: plans which calls of a model to compute, and computes and records them."""

from lstm_inspect.replay.plan import Plan, plan_replay
from lstm_inspect.replay.run import SIGNALS, Progress, trace

__all__ = ["SIGNALS", "Plan", "Progress", "plan_replay", "trace"]
