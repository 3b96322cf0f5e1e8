"""See inside saved recurrent models: shapes of weights and states, and every h_t and c_t.

model = lstm_inspect.open_model("model.keras")
lstm_inspect.model_shapes(model)                # the shapes of weights, states and outputs
trace = lstm_inspect.trace(model, x)            # every h_t and c_t; record="all": gates too
trace["lstm"].c                                 # (batch, timesteps, units)
lstm_inspect.verify(model, x).agrees            # whether genuine Keras computes the same
lstm_inspect.check_contract("contract.json", model)
lstm_inspect.diff_models(model, "other.keras")

The path of a file may stand wherever ``model`` stands. ``dir(lstm_inspect)`` lists every name.
"""

from lstm_inspect.version import __version__ as __version__


def __getattr__(name: str) -> object:
    """Imports a name at first use, so ``lstm-inspect --help`` waits for neither NumPy nor h5py.

    Only ``__init__.pyi`` lists the exported names and the module of each.
    """
    import importlib

    modules = _modules()
    if name == "__all__":
        return sorted(modules)
    if name in modules:
        globals()[name] = value = getattr(importlib.import_module(modules[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists the exported names, and those that Python gives every module."""
    return sorted({*_modules(), *(name for name in globals() if name.startswith("__"))})


def _modules() -> dict[str, str]:
    """Returns the module that each exported name comes from."""
    import re
    from pathlib import Path

    stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    lines = re.findall(r"^from (\S+) import (\w+) as \2$", stub, re.MULTILINE)
    return {name: module for module, name in lines if name != "__version__"}
