"""The functions for Python: each takes the path of a saved model, or an opened `Model`."""

from __future__ import annotations  # help() then shows the types as they are written here

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_inspect import shapes
from lstm_inspect.checks.contract import matching
from lstm_inspect.checks.contract.contracts import Contract, read_contract
from lstm_inspect.checks.diff import two_models
from lstm_inspect.checks.diff.two_arrays import EXACT, Tolerance
from lstm_inspect.checks.findings import Finding
from lstm_inspect.checks.verification import Verification, compare, replay_to_compare
from lstm_inspect.errors import InputError, InspectWarning
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.model import Model
from lstm_inspect.page.contents import Beside, page_of
from lstm_inspect.page.writing import drawing_library, write_page
from lstm_inspect.replay.on_cluster import write_on_cluster
from lstm_inspect.replay.options import CustomLayer, Progress, ReplayOptions
from lstm_inspect.replay.run import IN_MEMORY, Replay
from lstm_inspect.shapes import ModelShapes
from lstm_inspect.sources import open_model
from lstm_inspect.traces.cuts import Places, read_cut
from lstm_inspect.traces.recording import Trace
from lstm_inspect.traces.sequences import samples_of
from lstm_inspect.traces.statistics import ArrayStats


def trace(
    model: Model | str | Path,
    inputs: Any = None,
    *,
    record: str | Collection[str] = ("h", "c"),
    select: str | Sequence[str] = ("*",),
    feed: Mapping[str, Any] | None = None,
    layers: Mapping[str, CustomLayer] | None = None,
    initial_state: Mapping[str, Any] | None = None,
    time_chunk: int | None = None,
    stateful: bool = False,
    steps: Places = None,
    last: bool = False,
    units: Places = None,
    samples: Places = None,
    dtype: str | None = None,
    engine: str = "auto",
    allow_nonfinite: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Trace:
    """Replays a model and records the signals of its recurrent layers at every timestep.

    For example ``trace("model.keras", x, record="h,c,i", select="encoder*")["encoder"].i``.

    Args:
        model: The path of a saved model, or what `lstm_inspect.open_model` returned.
        inputs: One array, batch first; a mapping of input name to array; or a list of arrays in the
            order of the model's inputs. Only those that the recorded layers depend on are needed.
        record: Any of h, c, i, f, g, o (LSTM), h, z, r, n (GRU), x, mask, h0 and c0: ``"h,c"`` or
            ``["h", "c"]``. ``"all"`` is all of them. Each layer records the signals that it has.
        select: Which recurrent layers to record: a path, a glob over paths (``"encoder/*"``), or
            several of these.
        feed: Arrays for what cannot be run: the output of a layer by its path, or the x of a
            recurrent layer as ``"<path>:input"``; its mask, if it has one, as ``"<path>:mask"``.
        layers: Your own functions that compute custom layers, by the name of the layer or its
            class: ``"MyAttention"`` is also the class ``mine>MyAttention``, of the package mine.
            Each is called with the `Layer` and its input arrays, and returns the output array, or
            the output array and its mask.
        initial_state: The states to start from, (batch, units) by ``"<path>/h0"`` and
            ``"<path>/c0"``, as `Trace.final_states` of an earlier trace gives them. A layer without
            any starts from zeros, with a warning. None starts all from zeros.
        time_chunk: Takes long sequences in pieces of so many timesteps, rounded up to a multiple of
            64. The states are the same, bit for bit. Every layer has to read forward. None takes
            the whole.
        stateful: Whether the input holds several batches of the model's own batch size, one after
            the other. Stateful layers then carry their states from batch to batch, as in Keras.
        steps: Which timesteps of the input to record: ``"0:100:10"``, ``"0,5,8:16"``, a number, a
            slice, a range, or several of these; None records all. `LayerTrace.kept` tells which
            step stands at which index.
        last: Whether to record the last step alone that each layer reads: its final states. For a
            backward layer that is step 0.
        units: Which units of states and gates to record, as for ``steps``.
        samples: Which samples of the input to replay, as for ``steps``.
        dtype: ``"float16"``, ``"float32"`` or ``"float64"``: what to record in. None takes the
            dtype that the layer computes in.
        engine: What runs the cells: ``"numpy"``; ``"onnxruntime"``, which needs the extra
            ``[fast]``; or ``"auto"``, onnxruntime where it is installed, can run the cell, and has
            enough to do. Their numbers may differ in the last bits. `LayerTrace.engine` tells which
            it was.
        allow_nonfinite: Whether inputs and weights may hold NaN or infinity, with a warning.
        limits: How much the file may ask for, and how large the arrays of the replay may become.
        progress: Called now and then with (path, steps done, steps in all); it counts the steps of
            all sequences together. The first calls are about layers of which nothing is done yet.

    Returns:
        The signals of each recorded layer, in the layer's compute dtype: (batch, timesteps, units);
        x is (batch, timesteps, features), mask (batch, timesteps) bool, h0 and c0 (batch, units).
        A layer that depends on one that cannot be run is left out and named in ``untraced``.

    Raises:
        InputError: An input is missing, unknown, or does not fit; or an option is of another kind.
        LimitError: An array to compute, or all arrays to record, would exceed a limit.
        MissingExtraError: The engine is not installed.
        ModelFileError: The file cannot be read, or a weight is NaN or infinite.
        SelectionError: A pattern, a signal, or a key of ``feed`` or ``layers`` matches nothing.
        UnsupportedLayerError: None of the selected layers can be replayed.
    """
    options = ReplayOptions(
        record=record,
        select=select,
        feed={} if feed is None else feed,
        layers={} if layers is None else layers,
        initial_state={} if initial_state is None else initial_state,
        time_chunk=time_chunk,
        stateful=stateful,
        steps=steps,
        last=last,
        units=units,
        samples=samples,
        dtype=dtype,
        engine=engine,
        allow_nonfinite=allow_nonfinite,
        limits=limits,
        progress=progress,
    )
    opened = _opened(model, limits)
    return Replay(opened, inputs, options, block_bytes=IN_MEMORY).in_memory().trace


def trace_dask(
    model: Model | str | Path,
    inputs: Any = None,
    *,
    out: str | Path,
    record: str | Collection[str] = ("h", "c"),
    select: str | Sequence[str] = ("*",),
    feed: Mapping[str, Any] | None = None,
    initial_state: Mapping[str, Any] | None = None,
    time_chunk: int | None = None,
    steps: Places = None,
    last: bool = False,
    units: Places = None,
    samples: Places = None,
    dtype: str | None = None,
    engine: str = "auto",
    allow_nonfinite: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    compress: bool = False,
) -> Sequence[ArrayStats]:
    """Replays a model on the Dask cluster that is connected, or in threads if none is.

    For example ``trace_dask("model.keras", x, out="/shared/states.zarr")``. Each task computes some
    samples and writes them. The first sample is computed here, as it says what there is to record.

    Args:
        model: The path of a saved model, or what `lstm_inspect.open_model` returned. Workers need
            not see it.
        inputs: As for `trace`, of arrays of Dask or NumPy.
        out: The path of the dump: a ``.zarr`` on a file system that all workers see.
        record: What to record, as for `trace`, and so are the next twelve.
        select: Which recurrent layers to record.
        feed: Arrays for what cannot be run; of Dask too, and so are the next.
        initial_state: The states to start from.
        time_chunk: In pieces of how many timesteps long sequences are taken.
        steps: Which timesteps to record.
        last: Whether to record the last step alone.
        units: Which units to record.
        samples: Which samples to replay.
        dtype: What to record in.
        engine: What runs the cells; ``"auto"`` is ``"numpy"`` here, as workers may differ.
        allow_nonfinite: Whether inputs and weights may hold NaN or infinity.
        limits: How much the file and a block of the replay may take.
        compress: Whether to compress the dump.

    Returns:
        The statistics of each array of the dump.

    Raises:
        MissingExtraError: Dask is not installed.
        InputError: A sample cannot be computed without others, or the inputs do not fit.
        OutputError: The dump cannot be written there, or a worker does not see it.
        InspectError: The replay raises it; see `trace`.

    Warns:
        InspectWarning: A layer was not traced.
    """
    options = ReplayOptions(
        record=record,
        select=select,
        feed={} if feed is None else feed,
        initial_state={} if initial_state is None else initial_state,
        time_chunk=time_chunk,
        steps=steps,
        last=last,
        units=units,
        samples=samples,
        dtype=dtype,
        engine=engine,
        allow_nonfinite=allow_nonfinite,
        limits=limits,
    )
    written = write_on_cluster(
        _opened(model, limits), inputs, options, Path(out), lambda path: True, compress=compress
    )
    for path, why in written.trace.untraced.items():
        warnings.warn(InspectWarning(f"{path}: not traced: {why}"), stacklevel=2)
    return written.stats


def write_report(
    trace: Trace,
    out: str | Path,
    *,
    model: Model | str | Path | None = None,
    signals: Sequence[str] = ("all",),
    samples: Places = None,
    labels: Sequence[Sequence[str]] | None = None,
) -> None:
    """Writes a page about a trace that opens in any browser, without a network.

    For example ``write_report(trace, "report.html", model="model.keras", labels=[tokens])``.

    Args:
        trace: What `trace` or `load_trace` returned. Of a dump that is larger than memory, the
            command line writes a page.
        out: The path of the page; what has this name is replaced.
        model: The model, of which the page then has the shapes.
        signals: The signals of which the page has the numbers: ``["h", "c"]``.
        samples: The samples of which it has the numbers, as for `trace`; all if there is room.
        labels: Names of the timesteps: one list for all samples, or one for each.

    Raises:
        MissingExtraError: Plotly is not installed.
        InputError: A sample was not recorded, or there are other labels than timesteps.
        SelectionError: A signal was not recorded.
        OutputError: The page cannot be written there.
    """
    library = drawing_library()
    stored = trace.stored()
    cut = read_cut("samples", samples)
    page = page_of(
        stored,
        trace.model.get("name") or "a trace",
        Beside(shapes=None if model is None else model_shapes(model), labels=labels),
        signals=signals,
        samples=cut and cut.among(samples_of(stored)),
    )
    write_page(Path(out), page, library, lambda path: True)


def verify(
    model: Model | str | Path,
    inputs: Any = None,
    *,
    select: str | Sequence[str] = ("*",),
    feed: Mapping[str, Any] | None = None,
    layers: Mapping[str, CustomLayer] | None = None,
    stateful: bool = False,
    engine: str = "auto",
    allow_nonfinite: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    tolerance: Tolerance | None = None,
) -> Verification:
    """Replays a model, and runs each of its recurrent layers in genuine Keras on the same x.

    Each layer gets the x, mask and initial states of the replay. If Keras 3, or tf_keras for older
    files, loads the whole model in safe mode, x and the output of each recurrent layer are compared
    too.

    Args:
        model: The path of a saved model, or what `lstm_inspect.open_model` returned.
        inputs: As for `trace`, and so are the next eight.
        select: Which recurrent layers to compare.
        feed: Arrays for what cannot be run.
        layers: Your own functions that compute custom layers.
        stateful: Whether stateful layers carry their states from batch to batch.
        engine: What runs the cells of the replay.
        allow_nonfinite: Whether inputs and weights may hold NaN or infinity.
        limits: How much the file, the replay and Keras may take.
        progress: Called now and then, as for `trace`.
        tolerance: How far apart the replay and Keras may be. Here ``relative`` is a share of the
            largest number of the array, or of 1 if that is larger. None allows what rounding in the
            dtype of the layer explains: a relative 1e-4 in float32.

    Returns:
        What was compared, and what is proven of each recurrent layer.

    Raises:
        MissingExtraError: Keras or the engine is not installed.
        InspectError: The replay raises it; see `trace`.
    """
    options = ReplayOptions(
        select=select,
        feed={} if feed is None else feed,
        layers={} if layers is None else layers,
        stateful=stateful,
        engine=engine,
        allow_nonfinite=allow_nonfinite,
        limits=limits,
        progress=progress,
    )
    opened = _opened(model, limits)
    return compare(opened, replay_to_compare(opened, inputs, options), limits, tolerance)


def model_shapes(
    model: Model | str | Path, *, batch: int | None = None, timesteps: int | None = None
) -> ModelShapes:
    """Works out the shapes of a model's layers from the file alone.

    For example ``model_shapes("model.keras", batch=1).layers[0].states["h"]`` is ``(1, 6)``.

    Args:
        model: The path of a saved model, or what `lstm_inspect.open_model` returned.
        batch: The batch size to fill in if the model leaves it open.
        timesteps: The length of the sequences to fill in if the model leaves it open.

    Raises:
        InputError: The file states another batch size or length for each of the layers.
        SelectionError: The model has no recurrent layer.
        ModelFileError: The file cannot be read, or its config states an input shape that a
            recurrent layer cannot have.
    """
    return shapes.model_shapes(_opened(model), batch=batch, timesteps=timesteps)


def check_contract(
    contract: Contract | Mapping[str, Any] | str | Path, model: Model | ModelShapes | str | Path
) -> list[Finding]:
    """Checks a model against a contract.

    For example ``check_contract({"layers": [{"path": "lstm", "units": 6}]}, "model.keras")``.

    Args:
        contract: A `Contract`, its content as a dict, or the path of its file.
        model: The path of a saved model, what `lstm_inspect.open_model` returned, or its shapes.

    Returns:
        A finding for each place where the model breaks the contract; empty if it keeps it.

    Raises:
        ContractError: The contract cannot be read, or mentions a field that no model has.
        ModelFileError: The model cannot be read.
        SelectionError: The model has no recurrent layer.
    """
    if isinstance(contract, Mapping):
        contract = Contract(contract)
    elif isinstance(contract, (str, Path)):
        contract = read_contract(contract)
    elif not isinstance(contract, Contract):
        raise InputError(
            "contract: expected a Contract, its content as a dict, or the path of its file, "
            f"received {_kind(contract)}"
        )
    found = model if isinstance(model, ModelShapes) else model_shapes(model)
    return matching.check_contract(contract, found)


def diff_models(
    one: Model | str | Path, other: Model | str | Path, tolerance: Tolerance = EXACT
) -> list[Finding]:
    """Compares two models; their file formats may differ, and how layers are wired is ignored.

    Args:
        one: The path of a saved model, or what `lstm_inspect.open_model` returned.
        other: The same of the model to compare with it.
        tolerance: How far apart two weights may be; not at all unless it is given.

    Returns:
        A finding for each difference of the second model from the first: inputs, then layers field
        by field, then weights. For an array, or each gate of it, a finding has the first number
        that differs and the largest difference.

    Raises:
        ModelFileError: One of the files cannot be read.
        SelectionError: One of the models has no recurrent layer.
    """
    return two_models.diff_models(_opened(one), _opened(other), tolerance)


def _opened(model: Model | str | Path, limits: Limits = DEFAULT_LIMITS) -> Model:
    if isinstance(model, Model):
        return model
    if isinstance(model, (str, Path)):
        return open_model(model, limits=limits)
    raise InputError(
        "model: expected the path of a saved model or what open_model returned, "
        f"received {_kind(model)}"
    )


def _kind(value: object) -> str:
    """The class of a value, for a message: ``a value of class int``."""
    return f"a value of class {type(value).__qualname__}"
