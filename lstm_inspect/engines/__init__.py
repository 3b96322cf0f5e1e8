"""What runs a cell over sequences.

An engine is a module that is an `Engine`. To add one, name it in `_ENGINES`.
"""

from importlib.util import find_spec

from lstm_inspect.cells import Cell
from lstm_inspect.engines import numpy_engine, onnxruntime_engine
from lstm_inspect.engines.work import TIME_BLOCK, Computed, Engine, Wanted, Work
from lstm_inspect.errors import InputError, MissingExtraError
from lstm_inspect.notation import advice

_ENGINES: dict[str, Engine] = {"numpy": numpy_engine, "onnxruntime": onnxruntime_engine}

ENGINES = ("auto", *_ENGINES)
"""What may be asked for; ``"auto"`` chooses for each cell."""

# The matrix products take both engines about as long; what NumPy needs longer goes with the numbers
# in the gates. For so many it is as much as it takes to import onnx and onnxruntime and to build a
# session, 0.15 s.
_WORTH_ONNXRUNTIME = 3 * 10**7


def check_installed(asked: str) -> None:
    """Refuses an engine that is not installed.

    Raises:
        MissingExtraError: It is not.
    """
    if asked == "onnxruntime" and not _is_onnxruntime_installed():
        option = advice(python="engine='onnxruntime'", command_line="--engine onnxruntime")
        raise MissingExtraError(
            f'{option} needs onnx and onnxruntime: pip install "lstm-inspect[fast]"'
        )


def check_runs(asked: str, path: str, cell: Cell) -> None:
    """Refuses an engine that cannot run the cell of a layer.

    Raises:
        InputError: It cannot.
    """
    reason = None if asked == "auto" else _ENGINES[asked].why_not(cell)
    if reason:
        auto = advice(python="engine='auto'", command_line="--engine auto")
        raise InputError(
            f"layer {path}: the engine {asked} {reason}; {auto} takes another engine for it"
        )


def choose(asked: str, cell: Cell, steps: int) -> Engine:
    """Chooses what runs a cell.

    Args:
        asked: One of `ENGINES`, which was checked.
        cell: The cell.
        steps: How many timesteps of how many sequences it will be run over: their product.
    """
    if asked != "auto":
        return _ENGINES[asked]
    kernel = cell.weights["kernel"]
    is_worth = kernel is not None and steps * kernel.shape[-1] >= _WORTH_ONNXRUNTIME
    fits = is_worth and _is_onnxruntime_installed() and onnxruntime_engine.why_not(cell) is None
    return onnxruntime_engine if fits else numpy_engine


def versions(asked: str) -> str:
    """What may run a cell if it is asked for, as a dump says it: ``"numpy 2.4.6"``."""
    able = {
        name: engine
        for name, engine in _ENGINES.items()
        if asked in (name, "auto") and (name != "onnxruntime" or _is_onnxruntime_installed())
    }
    return ", ".join(engine.version() for engine in able.values())


def _is_onnxruntime_installed() -> bool:
    return all(find_spec(library) is not None for library in ("onnx", "onnxruntime"))


__all__ = [
    "ENGINES",
    "TIME_BLOCK",
    "Computed",
    "Engine",
    "Wanted",
    "Work",
    "check_installed",
    "check_runs",
    "choose",
    "versions",
]
