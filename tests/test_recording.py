import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import lstm_inspect
from lstm_inspect import InputError, LayerTrace, OutputError, SelectionError, Trace
from lstm_inspect.traces.stored_trace import SCHEMA
from tests.conftest import SAMPLES, Array, sample_input, save_dump

MODEL = {"name": "model.keras", "sha256": "0" * 64, "keras_version": "3.15.1"}


def layer_trace(path: str, **signals: Array) -> LayerTrace:
    """The trace of one LSTM of 2 units."""
    return LayerTrace(path=path, cell="lstm", units=2, direction="forward", signals=signals)


def trace_of(*layers: LayerTrace) -> Trace:
    """A trace of these layers."""
    return Trace(layers={layer.path: layer for layer in layers}, model=MODEL)


@pytest.fixture
def trace() -> Trace:
    """A trace with h and x of an encoder, and h of a decoder."""
    return trace_of(
        layer_trace("encoder", h=np.zeros((1, 3, 2)), x=np.ones((1, 3, 5))),
        layer_trace("decoder/lstm#2", h=np.full((1, 4, 2), 0.5)),
    )


# --- in memory


def test_a_trace_is_a_mapping_of_paths_to_layers(trace: Trace) -> None:
    assert len(trace) == 2
    assert list(trace) == ["encoder", "decoder/lstm#2"]
    assert [path for path, _ in trace.items()] == list(trace)
    assert "encoder" in trace
    assert "lstm" not in trace


def test_a_signal_is_an_attribute_of_its_layer(trace: Trace) -> None:
    assert trace["encoder"].x is trace["encoder"].signals["x"]


def test_an_unknown_path_is_refused_with_those_there_are(trace: Trace) -> None:
    with pytest.raises(SelectionError) as refused:
        trace["lstm"]
    assert str(refused.value) == (
        "expected the path of a traced layer (encoder, decoder/lstm#2), received 'lstm'"
    )


def test_get_of_an_unknown_path_gives_the_default(trace: Trace) -> None:
    assert trace.get("lstm") is None


def test_a_signal_that_was_not_recorded_is_refused_with_those_that_were(trace: Trace) -> None:
    with pytest.raises(AttributeError) as refused:
        _ = trace["encoder"].c
    assert str(refused.value) == "encoder has no recorded c; recorded: h, x"


def test_every_array_has_a_key(trace: Trace) -> None:
    assert list(trace.arrays()) == ["encoder/h", "encoder/x", "decoder/lstm#2/h"]
    assert trace.arrays()["decoder/lstm#2/h"] is trace["decoder/lstm#2"].h


# --- on disk


def test_a_dump_has_the_documented_keys_and_document(tmp_path: Path) -> None:
    model = lstm_inspect.open_model(SAMPLES / "bidirectional_masking.keras")
    trace = lstm_inspect.trace(
        model, sample_input("bidirectional_masking"), record=["h", "x", "mask"]
    )
    trace.save(tmp_path / "states.npz")
    with np.load(tmp_path / "states.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays.pop("__meta__")))
    layers = [f"bidirectional/{direction}" for direction in ("forward", "backward")]
    assert list(arrays) == [f"{path}/{signal}" for path in layers for signal in ("h", "x", "mask")]
    for key, array in trace.arrays().items():
        np.testing.assert_array_equal(arrays[key], array, strict=True)
    assert meta == {
        "schema": 1,
        "tool": f"lstm-inspect {lstm_inspect.__version__}",
        "model": {
            "name": "bidirectional_masking.keras",
            "sha256": model.source.sha256,
            "keras_version": "3.15.1",
        },
        "layers": {
            path: {
                "cell": "lstm",
                "units": 4,
                "direction": path.removeprefix("bidirectional/"),
                "dims": ["batch", "timesteps", "units"],
                "engine": f"numpy {np.__version__}",
                "signals": {
                    "h": {"dims": ["batch", "timesteps", "units"], "dtype": "float32"},
                    "x": {"dims": ["batch", "timesteps", "features"], "dtype": "float32"},
                    "mask": {"dims": ["batch", "timesteps"], "dtype": "bool"},
                },
            }
            for path in layers
        },
        "verification": None,
        "untraced": {},
    }


FLOATS = {
    dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=3, max_dims=3, max_side=3))
    for dtype in ("float16", "float32", "float64")
}
MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=3))
NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)


@st.composite
def layer_traces(draw: st.DrawFn, path: str) -> LayerTrace:
    floats = FLOATS[draw(st.sampled_from(sorted(FLOATS)))]
    signals: dict[str, Array] = draw(
        st.fixed_dictionaries({"h": floats}, optional={"c": floats, "x": floats, "mask": MASKS})
    )
    return LayerTrace(
        path=path,
        cell=draw(st.sampled_from(["lstm", "gru"])),
        units=draw(st.integers(1, 9)),
        direction=draw(st.sampled_from(["forward", "backward"])),
        signals=signals,
    )


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    paths = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return Trace(
        layers={path: draw(layer_traces(path)) for path in paths},
        untraced=draw(st.dictionaries(NAMES, st.text(), max_size=2)),
        model=draw(
            st.fixed_dictionaries(
                {
                    "name": st.text(),
                    "sha256": st.just("0" * 64),
                    "keras_version": st.none() | st.just("2.15.0"),
                }
            )
        ),
    )


def facts(layer: LayerTrace) -> dict[str, Any]:
    """The fields of a layer's trace, without the arrays."""
    return {**vars(layer), "signals": list(layer.signals)}


@given(trace=traces())
@settings(max_examples=50)
def test_what_is_saved_is_what_is_loaded(
    trace: Trace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "states.npz"
    trace.save(path)
    loaded = lstm_inspect.load_trace(path)
    assert loaded.model == trace.model
    assert loaded.untraced == trace.untraced
    assert [facts(layer) for layer in loaded.values()] == [facts(layer) for layer in trace.values()]
    for key, array in trace.arrays().items():
        np.testing.assert_array_equal(loaded.arrays()[key], array, strict=True)


def test_equal_traces_give_equal_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("a.npz", "b.npz"):
        trace_of(layer_trace("lstm", h=np.ones((1, 3, 2)))).save(tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_the_name_of_a_dump_is_kept_as_given(tmp_path: Path, trace: Trace) -> None:
    trace.save(str(tmp_path / "states"))
    assert [path.name for path in tmp_path.iterdir()] == ["states"]
    assert list(lstm_inspect.load_trace(str(tmp_path / "states"))) == list(trace)


def test_saving_into_a_missing_folder_is_refused(tmp_path: Path, trace: Trace) -> None:
    with pytest.raises(OutputError, match=r"missing/states\.npz: cannot be written"):
        trace.save(tmp_path / "missing" / "states.npz")


# --- files that are not dumps


def unloadable(path: Path) -> str:
    """Returns the one-line error about the file."""
    with pytest.raises(InputError) as refused:
        lstm_inspect.load_trace(path)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_a_dump_of_a_newer_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "states.npz"
    save_dump(path, {}, {"schema": SCHEMA + 1})
    message = unloadable(path)
    assert f"written with schema {SCHEMA + 1}; this version reads up to {SCHEMA}" in message
    assert message.endswith("upgrade lstm-inspect")


def test_a_dump_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert unloadable(tmp_path / "states.npz").endswith("no such file")


def test_a_truncated_dump_is_refused(tmp_path: Path, trace: Trace) -> None:
    path = tmp_path / "states.npz"
    trace.save(path)
    path.write_bytes(path.read_bytes()[:-30])
    assert "expected a dump that `lstm-inspect trace` wrote" in unloadable(path)
    gc.collect()  # a file left open would be warned of here


def test_a_limit_on_dumps_is_kept_and_can_be_raised(tmp_path: Path, trace: Trace) -> None:
    path = tmp_path / "states.npz"
    trace.save(path)
    with pytest.raises(lstm_inspect.LimitError) as refused:
        lstm_inspect.load_trace(path, limits=lstm_inspect.Limits(dump_bytes=1))
    assert "limits=Limits(dump_bytes=" in str(refused.value)
    assert list(lstm_inspect.load_trace(path)) == list(trace)


def test_a_changed_number_in_a_dump_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "states.npz"
    trace_of(layer_trace("lstm", h=np.full((1, 1, 2), 0.625))).save(path)
    data, stored = path.read_bytes(), np.full(2, 0.625).tobytes()
    assert data.count(stored) == 1
    path.write_bytes(data.replace(stored, np.full(2, 0.5).tobytes()))
    assert "expected a dump that `lstm-inspect trace` wrote" in unloadable(path)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(np.frombuffer(b"\xff\xff\xff\x7f", "<U1").reshape(()), id="no-characters"),
        pytest.param(np.float32(1), id="a-number"),
        pytest.param(np.asarray("[1"), id="no-json"),
    ],
)
def test_a_document_that_is_none_is_refused(tmp_path: Path, document: Array) -> None:
    path = tmp_path / "states.npz"
    np.savez(path, __meta__=document)
    assert "expected a dump that `lstm-inspect trace` wrote" in unloadable(path)


def test_an_npz_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, x=np.zeros(3))
    assert "expected a dump that `lstm-inspect trace` wrote" in unloadable(path)


def test_an_npy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(3))
    assert "expected a dump that `lstm-inspect trace` wrote" in unloadable(path)


def test_a_model_is_refused(tmp_path: Path) -> None:
    assert "expected a dump" in unloadable(SAMPLES / "one_unit_last_h.keras")


def test_a_folder_is_no_dump(tmp_path: Path) -> None:
    assert "expected a dump" in unloadable(tmp_path)


@pytest.mark.parametrize(
    "meta",
    [
        pytest.param({"schema": "1"}, id="schema-is-text"),
        pytest.param({}, id="no-schema"),
        pytest.param({"schema": 1}, id="no-layers"),
        pytest.param(
            {
                "schema": 1,
                "model": MODEL,
                "untraced": {},
                "layers": {
                    "lstm": {"cell": "lstm", "units": 1, "direction": "forward", "signals": ["h"]}
                },
            },
            id="array-missing",
        ),
        pytest.param(
            {"schema": 1, "model": MODEL, "untraced": {}, "layers": {"lstm": None}},
            id="layer-is-null",
        ),
    ],
)
def test_a_document_that_does_not_describe_the_dump_is_refused(
    meta: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "states.npz"
    save_dump(path, {}, meta)
    assert unloadable(path)
