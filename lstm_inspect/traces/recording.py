"""What a replay recorded."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, InspectError, SelectionError
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.files.npy import blocks_of
from lstm_inspect.traces.dumps import create_dump, open_dump
from lstm_inspect.version import __version__

SCHEMA = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerTrace:
    """What one recurrent layer did, timestep by timestep.

    Index t of every array is the timestep of the *input*, for a backward layer too: its last
    state is at t = 0. The states of a masked step are those carried over; its gates are as
    computed.

    Signals are attributes: ``layer.h``, ``layer.c``, ``layer.i`` ... are (batch, timesteps, units),
    ``layer.x`` is (batch, timesteps, features), ``layer.mask`` (batch, timesteps) bool, and the
    initial states ``layer.h0`` and ``layer.c0`` are (batch, units).

    Attributes:
        path: Which recurrence: ``lstm``, ``encoder/lstm``, ``bi/backward``, ``lstm#2``.
        cell: ``"lstm"``, ``"gru"``, ``"simple_rnn"``, ``"peephole_lstm"`` or ``"conv_lstm"``.
        units: Width of h_t; of a ConvLSTM, its filters.
        direction: ``"forward"`` or ``"backward"``.
        signals: The recorded arrays by name.
        dims: The axes of h: of a ConvLSTM with its spatial ones, inside a TimeDistributed with the
            outer timesteps behind the batch.
    """

    path: str
    cell: str
    units: int
    direction: str
    signals: Mapping[str, Array]
    dims: tuple[str, ...] = ("batch", "timesteps", "units")

    def dims_of(self, signal: str) -> tuple[str, ...]:
        """The axes of a signal."""
        time = self.dims.index("timesteps")
        match signal:
            case "x":
                return tuple("features" if dim == "units" else dim for dim in self.dims)
            case "mask":
                return self.dims[: time + 1]
            case "h0" | "c0":
                return self.dims[:time] + self.dims[time + 1 :]
            case _:
                return self.dims

    def __getattr__(self, signal: str) -> Array:
        """The recorded array of a signal.

        Raises:
            AttributeError: The signal was not recorded.
        """
        if signal.startswith("_") or signal == "signals":
            raise AttributeError(signal)
        try:
            return self.signals[signal]
        except KeyError:
            raise AttributeError(
                f"{self.path} has no recorded {signal}; recorded: {', '.join(self.signals)}"
            ) from None


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace(Mapping[str, LayerTrace]):
    """Every recorded layer by path.

    Attributes:
        layers: The layers that were traced.
        untraced: Why each of the others could not be: path to one line.
        model: ``name``, ``sha256`` and ``keras_version`` of the model file.
        verification: How a comparison with Keras came out, if one was made.
    """

    layers: Mapping[str, LayerTrace]
    untraced: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, str | None]
    verification: Mapping[str, Any] | None = None

    def __getitem__(self, path: str) -> LayerTrace:
        """The trace of one layer.

        Raises:
            SelectionError: There is none of that path; the message lists those there are.
        """
        if path not in self.layers:
            raise SelectionError(
                f"expected the path of a traced layer ({', '.join(self.layers)}), received {path!r}"
            )
        return self.layers[path]

    def __iter__(self) -> Iterator[str]:
        """Yields the paths."""
        return iter(self.layers)

    def __len__(self) -> int:
        """How many layers were traced."""
        return len(self.layers)

    def __contains__(self, path: object) -> bool:
        """Whether a layer of that path was traced."""
        return path in self.layers

    def arrays(self) -> dict[str, Array]:
        """Every recorded array by its key in a dump: ``<path>/<signal>``."""
        return {
            f"{path}/{signal}": array
            for path, layer in self.layers.items()
            for signal, array in layer.signals.items()
        }

    def with_verification(self, verification: Mapping[str, Any]) -> "Trace":
        """The same trace, with how a comparison with Keras came out."""
        return replace(self, verification=verification)

    def save(self, path: str | Path) -> None:
        """Writes the trace as a dump; an existing file is replaced once the new one is whole.

        Raises:
            OutputError: It cannot be written there.
        """
        with create_dump(Path(path)) as dump:
            for key, array in self.arrays().items():
                dump.write_array(key, array.shape, array.dtype, blocks_of(array))
            dump.write_document(json.dumps(self._document()))

    def _document(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "tool": f"lstm-inspect {__version__}",
            "model": dict(self.model),
            "layers": {
                path: {
                    "cell": layer.cell,
                    "units": layer.units,
                    "direction": layer.direction,
                    "dims": list(layer.dims),
                    "signals": {
                        signal: {"dims": list(layer.dims_of(signal)), "dtype": str(array.dtype)}
                        for signal, array in layer.signals.items()
                    },
                }
                for path, layer in self.layers.items()
            },
            "untraced": dict(self.untraced),
            "verification": self.verification,
        }


def load_trace(path: str | Path) -> Trace:
    """Reads a trace that `Trace.save` or ``lstm-inspect trace`` wrote.

    Raises:
        InputError: Not there, damaged, or no dump of this tool.
    """
    path = Path(path)
    with open_dump(path, SCHEMA, DEFAULT_LIMITS) as (stored, document):
        size = sum(math.prod(array.shape) * array.dtype.itemsize for array in stored.values())
        DEFAULT_LIMITS.check("dump_bytes", size, str(path))
        with describing(path):
            layers = {
                name: LayerTrace(
                    path=name,
                    cell=layer["cell"],
                    units=layer["units"],
                    direction=layer["direction"],
                    dims=tuple(layer["dims"]),
                    signals={
                        signal: stored[f"{name}/{signal}"].read() for signal in layer["signals"]
                    },
                )
                for name, layer in document["layers"].items()
            }
            return Trace(
                layers=layers,
                untraced=document["untraced"],
                model=document["model"],
                verification=document["verification"],
            )


@contextmanager
def describing(path: Path) -> Iterator[None]:
    """Turns what goes wrong in reading the document of a dump into an error about the file."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InspectError):
            raise
        raise InputError(
            f"{path}: its document does not describe its arrays ({error!r})"
        ) from error
