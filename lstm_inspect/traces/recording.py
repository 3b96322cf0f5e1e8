"""The trace that a replay records."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, SelectionError, one_line
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.notation import sizes_text
from lstm_inspect.notebooks import as_html
from lstm_inspect.traces.cuts import Places, read_cut
from lstm_inspect.traces.dump_format import ArrayInMemory
from lstm_inspect.traces.dumps import NamedAxes, save_dump
from lstm_inspect.traces.final_states import final_states
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.sequences import one_sample, units_over_time
from lstm_inspect.traces.statistics import ArrayStats, stats_of
from lstm_inspect.traces.stored_trace import (
    SCHEMA,
    StoredLayer,
    StoredSignal,
    StoredTrace,
    open_trace,
)
from lstm_inspect.version import __version__

if TYPE_CHECKING:
    from lstm_inspect.pictures.in_notebook import Picture

JSON_SCHEMA = 2
"""That of what `Trace.as_json` returns."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerTrace:
    """The recorded signals of one recurrent layer, timestep by timestep.

    Signals are attributes: ``layer.h``, ``layer.c``, ``layer.i`` ... are (batch, timesteps, units),
    ``layer.x`` is (batch, timesteps, features), ``layer.mask`` is (batch, timesteps) bool, and the
    initial states ``layer.h0`` and ``layer.c0`` are (batch, units).

    Index t of every array is the timestep of the *input*, also in a backward layer, whose last
    state is therefore at t = 0. At a masked step, the states are carried over and the gates are
    recorded as computed.

    Attributes:
        path: The path of the recurrence: ``lstm``, ``encoder/lstm``, ``bi/backward``, ``lstm#2``.
        cell: ``"lstm"``, ``"gru"``, ``"simple_rnn"``, ``"peephole_lstm"`` or ``"conv_lstm"``.
        units: The width of h_t; for a ConvLSTM, the number of filters.
        direction: ``"forward"`` or ``"backward"``.
        signals: The recorded arrays by name.
        dims: The axes of h. A ConvLSTM has spatial axes too; inside a TimeDistributed, the outer
            timesteps come after the batch.
        kept: For each axis of which only a part was recorded, which one. If only step 9 was
            recorded, ``kept["timesteps"].places`` is (9,), and step 9 stands at index 0.
        engine: What computed them: ``"numpy 2.4.6"``; None if the dump does not say.
    """

    path: str
    cell: str
    units: int
    direction: str
    signals: Mapping[str, Array]
    dims: tuple[str, ...] = ("batch", "timesteps", "units")
    kept: Mapping[str, Kept] = field(default_factory=dict)
    engine: str | None = None

    def __repr__(self) -> str:
        """What was recorded, in one line."""
        what = f"{self.cell}, {self.direction}"
        return one_line(f"<LayerTrace {self.path}: {what}; {self._sizes}>")

    def _repr_html_(self) -> str:
        """The statistics of every signal, and heat maps of h and c, for notebooks."""
        stats = as_html(repr(self), (each.as_json() for each in stats_of(self._alone.arrays())))
        try:
            return stats + self.show()._repr_html_()
        except InputError as error:  # there is nothing to draw
            return stats + as_html(str(error))

    def show(
        self,
        signals: str | Collection[str] | None = None,
        *,
        sample: int | None = None,
        units: Places = None,
    ) -> "Picture":
        """Returns a picture of what was recorded, for notebooks and consoles.

        For example ``layer.show("c,f", sample=3)``. A notebook shows what ``lstm-inspect plot``
        draws, which takes the extra ``[plot]``; a console what ``lstm-inspect show`` prints.

        Args:
            signals: The signals: ``"c,f"`` or ``["c", "f"]``; ``"all"`` is all; None are h and
                c, as far as they were recorded.
            sample: The number of the sample; None is the first recorded one.
            units: Draws a line for each of these units, in place of heat maps: ``"0,5,8:16"``, or
                as for `lstm_inspect.trace`.

        Raises:
            SelectionError: A signal was not recorded.
            InputError: The sample or a unit was not recorded, or nothing was.
        """
        from lstm_inspect.pictures.in_notebook import Picture

        names = signals.split(",") if isinstance(signals, str) else signals or ()
        wanted = [name.strip() for name in names]
        trace = self._alone.stored()
        shown = [*units_over_time(trace, wanted, one_sample(trace, sample))]
        cut = read_cut("units", units)
        if cut is None:
            return Picture.of_heat_maps(shown)
        return Picture.of_lines([each.at_units(cut.among(each.units)) for each in shown])

    @property
    def _alone(self) -> "Trace":
        return Trace(layers={self.path: self}, model={})

    @property
    def _sizes(self) -> str:
        return sizes_text({signal: array.shape for signal, array in self.signals.items()})

    @property
    def places(self) -> dict[str, tuple[int, ...]]:
        """The places that were kept, for each axis of which only a part was recorded."""
        return {dim: kept.places for dim, kept in self.kept.items()}

    def dims_of(self, signal: str) -> tuple[str, ...]:
        """Returns the axes of a signal."""
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
        """Returns the recorded array of a signal.

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
    """The recorded layers by path.

    Attributes:
        layers: The layers that were traced.
        untraced: The paths of layers that could not be traced, each with a line that says why.
        model: ``name``, ``sha256`` and ``keras_version`` of the model file.
        verification: The result of a comparison with Keras, if one was made.
    """

    layers: Mapping[str, LayerTrace]
    untraced: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, str | None]
    verification: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        """What was recorded, in one line."""
        layers = ", ".join(f"{path} ({layer._sizes})" for path, layer in self.layers.items())
        untraced = f"; not traced: {', '.join(self.untraced)}" if self.untraced else ""
        model = self.model.get("name") or "an unknown model"
        return one_line(f"<Trace of {model}: {layers}{untraced}>")

    def _repr_html_(self) -> str:
        """The statistics of every recorded array, for notebooks."""
        return as_html(repr(self), (each.as_json() for each in stats_of(self.arrays())))

    def as_json(self, stats: Iterable[ArrayStats], dump: Path) -> dict[str, Any]:
        """Returns what ``trace --format json`` prints.

        Args:
            stats: The statistics of its arrays.
            dump: The path of its dump.
        """
        return {
            "schema": JSON_SCHEMA,
            "dump": str(dump),
            "model": dict(self.model),
            "arrays": [each.as_json() for each in stats],
            "untraced": dict(self.untraced),
            "verification": self.verification,
        }

    def __getitem__(self, path: str) -> LayerTrace:
        """Returns the trace of one layer.

        Raises:
            SelectionError: No layer with that path was traced; the message lists the traced ones.
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
        """Returns how many layers were traced."""
        return len(self.layers)

    def __contains__(self, path: object) -> bool:
        """Whether a layer with that path was traced."""
        return path in self.layers

    def arrays(self) -> dict[str, Array]:
        """Returns every recorded array by its key in a dump: ``<path>/<signal>``."""
        return {
            f"{path}/{signal}": array
            for path, layer in self.layers.items()
            for signal, array in layer.signals.items()
        }

    def final_states(self) -> dict[str, Array]:
        """Returns the states after the last step, to start the next replay from.

        For example ``trace(model, next_x, initial_state=first.final_states())``.

        Returns:
            (batch, units) for each recorded state of each layer, by its key: ``<path>/h0``.

        Raises:
            InputError: The last step that a layer reads, or some of its units, were not recorded.
        """
        return final_states(self.stored())

    def stored(self) -> StoredTrace:
        """Returns the same trace, for what reads a dump piece by piece."""
        return StoredTrace(
            layers={
                path: StoredLayer(
                    path=path,
                    cell=layer.cell,
                    units=layer.units,
                    direction=layer.direction,
                    dims=layer.dims,
                    kept=layer.kept,
                    engine=layer.engine,
                    signals={
                        signal: StoredSignal(ArrayInMemory(array), layer.dims_of(signal))
                        for signal, array in layer.signals.items()
                    },
                )
                for path, layer in self.layers.items()
            },
            untraced=self.untraced,
            model=self.model,
            verification=self.verification,
        )

    def with_verification(self, verification: Mapping[str, Any]) -> "Trace":
        """Returns the same trace with the result of a comparison with Keras."""
        return replace(self, verification=verification)

    def save(
        self,
        path: str | Path,
        *,
        may_replace: Callable[[Path], bool] = lambda path: True,
        compress: bool = False,
    ) -> None:
        """Writes the trace as a dump, which gets its name once it is complete.

        Args:
            path: The path of the dump; its suffix says the format: ``.npz``, ``.h5`` or ``.zarr``.
            may_replace: Tells whether what has this name may be replaced.
            compress: Whether to compress it, which takes ``.h5`` or ``.zarr``.

        Raises:
            OutputError: The dump cannot be written there, or there is no room for it.
        """
        arrays = {
            f"{layer.path}/{signal}": NamedAxes(array, layer.dims_of(signal), layer.places)
            for layer in self.layers.values()
            for signal, array in layer.signals.items()
        }
        save_dump(Path(path), arrays, self.document(), may_replace, compress=compress)

    def document(self) -> dict[str, Any]:
        """What a dump says of its arrays, as plain JSON data."""
        return {
            "schema": SCHEMA if any(layer.kept for layer in self.layers.values()) else 1,
            "tool": f"lstm-inspect {__version__}",
            "model": dict(self.model),
            "layers": {
                path: {
                    "cell": layer.cell,
                    "units": layer.units,
                    "direction": layer.direction,
                    "dims": list(layer.dims),
                    **_kept_as_json(layer),
                    "engine": layer.engine,
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


def load_trace(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Trace:
    """Reads a trace that `Trace.save` or ``lstm-inspect trace`` wrote.

    Args:
        path: The dump.
        limits: How large it may be.

    Raises:
        InputError: The file does not exist, is damaged, or is not a dump of this tool.
        LimitError: The dump is larger than a limit allows.
    """
    path = Path(path)
    with open_trace(path, limits) as stored:
        arrays = [each.array for layer in stored.layers.values() for each in layer.signals.values()]
        size = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)
        limits.check("dump_bytes", size, str(path))
        return Trace(
            layers={
                name: LayerTrace(
                    path=name,
                    cell=layer.cell,
                    units=layer.units,
                    direction=layer.direction,
                    dims=layer.dims,
                    kept=layer.kept,
                    engine=layer.engine,
                    signals={signal: each.array.read() for signal, each in layer.signals.items()},
                )
                for name, layer in stored.layers.items()
            },
            untraced=stored.untraced,
            model=stored.model,
            verification=stored.verification,
        )


def _kept_as_json(layer: LayerTrace) -> dict[str, Any]:
    return {"kept": {dim: kept.as_json() for dim, kept in layer.kept.items()}} if layer.kept else {}
