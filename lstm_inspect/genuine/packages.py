"""Imports optional packages, only when something needs them and without their messages."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from lstm_inspect.errors import MissingExtraError


def import_keras(needed_for: str) -> ModuleType:
    """Imports Keras 3, with the backend that is set up.

    Args:
        needed_for: What needs Keras; the error names it.

    Raises:
        MissingExtraError: Keras is not installed, or has no backend.
    """
    with _stderr_closed(), _explained(needed_for):
        import keras
    return keras  # type: ignore[no-any-return]  # mypy is to skip it: it has no types


def import_tf_keras(needed_for: str) -> ModuleType:
    """Imports Keras 2, which the TensorFlow team keeps as the package ``tf_keras``.

    Args:
        needed_for: What needs it; the error names it.

    Raises:
        MissingExtraError: It is not installed.
    """
    with _stderr_closed(), _explained(needed_for):
        import tf_keras
    return tf_keras  # type: ignore[no-any-return]  # mypy is to skip it: it has no types


@contextmanager
def _explained(needed_for: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{needed_for} needs Keras and TensorFlow ({error}): "
            'pip install "lstm-inspect[tensorflow]"'
        ) from error


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Discards what is written to stderr, by native code too.

    TF_CPP_MIN_LOG_LEVEL does not stop what TensorFlow logs before it reads that variable.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
