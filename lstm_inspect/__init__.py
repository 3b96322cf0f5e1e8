"""See inside saved recurrent Keras models: shapes of weights and states, and every h_t and c_t.

model = lstm_inspect.open_model("model.keras")
trace = lstm_inspect.trace(model, x)
trace["lstm"].c                        # (batch, timesteps, units)
"""

from typing import TYPE_CHECKING

from lstm_inspect.version import __version__ as __version__

if TYPE_CHECKING:
    from lstm_inspect.errors import (
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
    from lstm_inspect.limits import Limits
    from lstm_inspect.model import Model, Recurrence, open_model
    from lstm_inspect.recording import LayerTrace, Trace, load_trace
    from lstm_inspect.replay import trace
    from lstm_inspect.shapes import LayerShapes, ModelShapes, model_shapes
    from lstm_inspect.verification import Comparison, Verification, verify

__all__ = [
    "Comparison",
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
    "Trace",
    "UnreadWeightsWarning",
    "UnsupportedLayerError",
    "Verification",
    "load_trace",
    "model_shapes",
    "open_model",
    "trace",
    "verify",
]

_ROOMS = {
    "errors": (
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
