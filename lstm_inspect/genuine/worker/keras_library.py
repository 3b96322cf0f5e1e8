"""Imports Keras, and takes what it computes out of its tensors."""

import importlib
import os
import re
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array

_LONGEST = 160  # characters of a reason; Keras quotes whole configs


class MissingError(Exception):
    """A library is not installed, or has no backend."""


class RejectedError(Exception):
    """Keras raised an error; the message is the reason, in one line."""


def import_library(name: str) -> ModuleType:
    """Imports Keras 3 (``"keras"``), Keras 2 (now ``"tf_keras"``) or ``"tensorflow"``.

    Raises:
        MissingError: It is not installed, or has no backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    library: ModuleType
    try:
        # Tracebacks that are filtered put "Exception encountered when calling ..." in front of the
        # reason.
        if name == "keras":
            import keras

            keras.config.disable_traceback_filtering()
            library = keras
        else:
            import tensorflow

            tensorflow.debugging.disable_traceback_filtering()
            library = tensorflow
        if name == "tf_keras":
            import tf_keras

            library = tf_keras
    except ImportError as error:
        raise MissingError(str(error)) from error
    return library


def operation_class(module: str, name: str) -> Any:
    """The class of an operation of Keras 3, which is public only as a function."""
    return getattr(importlib.import_module(f"keras.src.ops.{module}"), name)


@contextmanager
def keras_may_reject(what: str = "") -> Iterator[None]:
    """Turns an error of Keras into a `RejectedError`: a file can cause any of them.

    Args:
        what: What fails then, to put in front of the reason.
    """
    try:
        yield
    except Exception as error:
        raise RejectedError(f"{what}{_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The reason that Keras gives, in one line."""
    trace = traceback.extract_tb(error.__traceback__)
    if not (trace[-1].line or "").startswith("raise"):
        # Nobody wrote the message for people: "pop expected at most 1 argument".
        return f"it fails with {type(error).__name__}"
    # Keras quotes a whole config in front of the reason (keras 3.15.1, saving/serialization_lib.py;
    # tf_keras 2.21.0, saving/legacy/serialization.py). TensorFlow has headings there.
    reason = str(error).rpartition("Exception encountered: ")[2]
    reason = re.sub(r"^\{\{.*?\}\} ", "", reason)  # TensorFlow's name of an operation
    lines = [line for line in reason.splitlines() if line and line[-1] not in ":>"]
    line = lines[0] if lines else type(error).__name__
    return textwrap.shorten(line, _LONGEST, placeholder=" ...")


def as_tensor(library: ModuleType, array: Array) -> Any:
    """Makes a tensor of Keras 3 or tf_keras of an array, in the dtype of the array."""
    if hasattr(library, "ops"):
        return library.ops.convert_to_tensor(array)
    return library.backend.constant(array, array.dtype)


def as_array(library: ModuleType, tensor: Any) -> Array:
    """Copies a tensor of Keras 3 or tf_keras to an array; bfloat16 becomes float32."""
    # tf_keras has no `ops`; its tensors are those of TensorFlow. NumPy takes all but the sparse.
    array = np.array(
        library.ops.convert_to_numpy(tensor)
        if hasattr(library, "ops")
        else library.backend.to_dense(tensor)
    )
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
