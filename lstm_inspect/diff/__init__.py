"""Two models, or two dumps, down to the first number in which they part."""

from lstm_inspect.diff.dumps import diff_dumps, diff_traces
from lstm_inspect.diff.models import diff_models
from lstm_inspect.diff.numbers import Tolerance

__all__ = ["Tolerance", "diff_dumps", "diff_models", "diff_traces"]
