"""See inside saved recurrent Keras models: shapes of weights and states, and every h_t and c_t.

model = lstm_inspect.open_model("model.keras")
trace = lstm_inspect.trace(model, x)
trace["lstm"].c                        # (batch, timesteps, units)
"""

from typing import TYPE_CHECKING

from lstm_inspect.version import __version__ as __version__

if TYPE_CHECKING:
    from lstm_inspect.contract import Contract, check_contract, read_contract
    from lstm_inspect.diff import Tolerance, diff_dumps, diff_models
    from lstm_inspect.errors import (
        ContractError,
        InputError,
        InspectError,
        InspectWarning,
        LimitError,
        MissingExtraError,
        ModelFileError,
        NonFiniteWarning,
        OutputError,
        RoundingWarning,
        SelectionError,
        UnreadWeightsWarning,
        UnsupportedLayerError,
    )
    from lstm_inspect.findings import Finding
    from lstm_inspect.limits import Limits
    from lstm_inspect.model import Model, Recurrence, open_model
    from lstm_inspect.recording import LayerTrace, Trace, load_trace
    from lstm_inspect.replay import trace
    from lstm_inspect.shapes import LayerShapes, ModelShapes, model_shapes
    from lstm_inspect.verification import Comparison, Verification, verify

__all__ = [
    "Comparison",
    "Contract",
    "ContractError",
    "Finding",
    "InputError",
    "InspectError",
    "InspectWarning",
    "LayerShapes",
    "LayerTrace",
    "LimitError",
    "Limits",
    "MissingExtraError",
    "Model",
    "ModelFileError",
    "ModelShapes",
    "NonFiniteWarning",
    "OutputError",
    "Recurrence",
    "RoundingWarning",
    "SelectionError",
    "Tolerance",
    "Trace",
    "UnreadWeightsWarning",
    "UnsupportedLayerError",
    "Verification",
    "check_contract",
    "diff_dumps",
    "diff_models",
    "load_trace",
    "model_shapes",
    "open_model",
    "read_contract",
    "trace",
    "verify",
]

_ROOMS = {
    "contract": ("Contract", "check_contract", "read_contract"),
    "diff": ("Tolerance", "diff_dumps", "diff_models"),
    "errors": (
        "ContractError",
        "InputError",
        "InspectError",
        "InspectWarning",
        "LimitError",
        "MissingExtraError",
        "ModelFileError",
        "NonFiniteWarning",
        "OutputError",
        "RoundingWarning",
        "SelectionError",
        "UnreadWeightsWarning",
        "UnsupportedLayerError",
    ),
    "findings": ("Finding",),
    "limits": ("Limits",),
    "model": ("Model", "Recurrence", "open_model"),
    "recording": ("LayerTrace", "Trace", "load_trace"),
    "replay": ("trace",),
    "shapes": ("LayerShapes", "ModelShapes", "model_shapes"),
    "verification": ("Comparison", "Verification", "verify"),
}


def __getattr__(name: str) -> object:
    """Imports a name when it is used: ``lstm-inspect --help`` waits for neither NumPy nor h5py."""
    import importlib

    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f"lstm_inspect.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
