"""A trace of which the arrays are read piece by piece: a dump, which may be larger than memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from lstm_inspect.errors import InputError, InspectError, SelectionError
from lstm_inspect.files.limits import Limits
from lstm_inspect.traces.dump_format import StoredArray
from lstm_inspect.traces.dumps import open_dump
from lstm_inspect.traces.kept import Kept

SCHEMA = 2
"""That of the document in a dump. A whole trace has 1, which older versions read too."""


class StoredSignal(NamedTuple):
    """A recorded array, in memory or in a dump, and the names of its axes."""

    array: StoredArray
    dims: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredLayer:
    """The recorded signals of one recurrent layer; the attributes are those of a `LayerTrace`."""

    path: str
    cell: str
    units: int
    direction: str
    dims: tuple[str, ...]
    kept: Mapping[str, Kept]
    engine: str | None
    signals: Mapping[str, StoredSignal]


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredTrace:
    """The recorded layers by path; the attributes are those of a `Trace`."""

    layers: Mapping[str, StoredLayer]
    untraced: Mapping[str, str]
    model: Mapping[str, str | None]
    verification: Mapping[str, Any] | None

    def selected(self, patterns: Sequence[str]) -> "StoredTrace":
        """Returns the trace of the layers whose paths match one of some globs; of none, all.

        Raises:
            SelectionError: A glob matches no layer.
        """
        for pattern in patterns:
            if not any(fnmatchcase(path, pattern) for path in self.layers):
                there = ", ".join(self.layers) or "none"
                raise SelectionError(
                    f"layer {pattern}: matches no recorded layer; there are {there}"
                )
        layers = {
            path: layer
            for path, layer in self.layers.items()
            if not patterns or any(fnmatchcase(path, pattern) for pattern in patterns)
        }
        return replace(self, layers=layers)


@contextmanager
def open_trace(path: Path, limits: Limits) -> Iterator[StoredTrace]:
    """Opens a dump that `Trace.save` or ``lstm-inspect trace`` wrote; its arrays stay on disk.

    Args:
        path: The dump.
        limits: What its directory may ask for.

    Raises:
        InputError: The file does not exist, is damaged, or is not a dump of this tool.
        LimitError: Its directory asks for more than the limits allow.
    """
    with open_dump(path, SCHEMA, limits) as (arrays, document):
        with _describing(path):
            layers = {
                name: StoredLayer(
                    path=name,
                    cell=str(layer["cell"]),
                    units=layer["units"],
                    direction=str(layer["direction"]),
                    dims=tuple(layer["dims"]),
                    kept=_kept_of(name, layer, arrays),
                    engine=_engine_of(layer),
                    signals={
                        signal: StoredSignal(
                            arrays[f"{name}/{signal}"], tuple(map(str, stated["dims"]))
                        )
                        for signal, stated in layer["signals"].items()
                    },
                )
                for name, layer in document["layers"].items()
            }
            trace = StoredTrace(
                layers=layers,
                untraced={**document["untraced"]},
                model=_model_of(document["model"]),
                verification=document["verification"],
            )
        for layer in layers.values():
            for name, (array, dims) in layer.signals.items():
                if len(dims) != len(array.shape) or array.dtype.kind not in "fiub":
                    raise InputError(
                        f"{path}: expected {layer.path}/{name} to be numbers with the axes {dims}, "
                        f"received {array.shape} of {array.dtype}"
                    )
        yield trace


def _kept_of(
    path: str, layer: Mapping[str, Any], stored: Mapping[str, StoredArray]
) -> dict[str, Kept]:
    """What a dump has of the axes of a layer.

    Args:
        path: The path of the layer.
        layer: What the document of the dump says of it.
        stored: The arrays of the dump.

    Raises:
        ValueError: It says something else of an axis than the arrays have.
    """
    stated = layer.get("kept", {})
    kept = {}
    for signal, described in layer["signals"].items() if stated else ():
        for dim, length in zip(described["dims"], stored[f"{path}/{signal}"].shape, strict=True):
            if dim in stated:
                kept[dim] = Kept.from_json(stated[dim], length)
    return kept


def _model_of(stated: Mapping[str, Any]) -> dict[str, str | None]:
    for name, value in stated.items():
        if not isinstance(value, str | None):
            raise TypeError(f"{name} of the model: {value!r:.80}")
    return dict(stated)


def _engine_of(layer: Mapping[str, Any]) -> str | None:
    engine = layer.get("engine")
    return None if engine is None else str(engine)


@contextmanager
def _describing(path: Path) -> Iterator[None]:
    """Turns an error in the document of a dump into an InputError about the file."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InspectError):
            raise
        raise InputError(
            f"{path}: its document does not describe its arrays ({error!r})"
        ) from error
