"""Runs one genuine operation of Keras 3."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from numpy import ndarray

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.worker.keras_library import (
    as_array,
    as_tensor,
    keras_may_reject,
    operation_class,
)
from lstm_inspect.nested import LOOK_INSIDE, leaves, rewritten


def run_operation(
    library: ModuleType,
    module: str,
    class_name: str,
    parameters: Mapping[str, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> list[Array]:
    """Calls an operation as a model does.

    Args:
        library: Keras.
        module: The module of ``keras.src.ops`` that has the operation.
        class_name: Its class there.
        parameters: The settings that all its calls share.
        args: The positional arguments of the call.
        kwargs: The keyword arguments of the call.

    Returns:
        Its outputs.
    """

    def tensors(argument: Any) -> Any:
        return rewritten(
            argument,
            lambda each: as_tensor(library, each) if isinstance(each, ndarray) else LOOK_INSIDE,
        )

    with keras_may_reject():
        operation = operation_class(module, class_name)(**parameters)
        outputs = operation(*tensors(args), **tensors(kwargs))
        return [as_array(library, output) for output in leaves(outputs)]
