"""Says what the config of a Lambda shows of its code: names, never the code."""

from collections.abc import Mapping
from typing import Any

from lstm_inspect.notation import shape_text
from lstm_inspect.sources.keras.layer_config import LayerConfig, read_shape


def code_of(layer: LayerConfig) -> str | None:
    """What a config shows of the code of a Lambda: ``"the function mine.scale, called with by"``.

    Keras 1 and 2 write a name with ``function_type: "function"``, and whatever they marshal, a
    ``def`` too, with ``"lambda"`` (keras 2.2.4 and 2.15.0, layers/core: ``Lambda.get_config``).
    Keras 3, and 2 in a ``.keras``, write an object (keras 3.15.1, layers/core/lambda_layer.py).
    """
    if layer.class_name != "Lambda":
        return None
    config = layer.config
    module = config.get("module")
    match config.get("function"):
        case str(name) if config.get("function_type") != "lambda":
            said = _named(name, module)
        case {"class_name": "function", "config": str(name), **others}:
            said = _named(name, others.get("module"))
        case str() | list() | {"class_name": "__lambda__"}:
            said = f"an unnamed lambda{f' of {module}' if _is_name(module) else ''}"
        case _:
            said = None
    if said is None:
        return None
    shape = read_shape(config.get("output_shape"))
    return said + _arguments(config) + (f", output_shape {_sizes(shape)}" if shape else "")


def _named(name: str, module: object) -> str | None:
    if not _is_name(name):
        return None
    # Keras 3 writes the module of the type of all functions, not that of this one.
    package = f"{module}." if _is_name(module) and module != "builtins" else ""
    return f"the function {package}{name}"


def _arguments(config: Mapping[str, Any]) -> str:
    given = config.get("arguments")
    names = [name for name in given if _is_name(name)] if isinstance(given, dict) else []
    return f", called with {', '.join(names)}" if names else ""


def _sizes(shape: tuple[int | None, ...]) -> str:
    return shape_text(["any" if size is None else size for size in shape])


def _is_name(value: object) -> bool:
    """Whether a value is a dotted name of Python, which marshalled code is not."""
    return isinstance(value, str) and all(part.isidentifier() for part in value.split("."))
