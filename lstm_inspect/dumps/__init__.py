"""Named arrays with one JSON document about them, to and from disk."""

from lstm_inspect.dumps.npz import is_dump, load_dump, open_dump, save_dump
from lstm_inspect.dumps.target import check_target, replace_atomically

__all__ = ["check_target", "is_dump", "load_dump", "open_dump", "replace_atomically", "save_dump"]
