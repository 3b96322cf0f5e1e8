"""SavedModels are held against their own serving function."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import verify
from lstm_inspect.cells.lstm import LstmCell
from lstm_inspect.checks.verification import WHOLE_MODEL

pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

# tf_keras is Keras 2, which writes SavedModels.
tf_keras = pytest.importorskip("tf_keras")

X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")


def model_of(*layers: Any, **options: Any) -> Any:
    return tf_keras.Sequential([tf_keras.layers.InputLayer((4, 2), name="x", **options), *layers])


def trap(model: Any, marker: Path) -> Any:
    """A function that serves a model, and writes a file."""
    import tensorflow as tf

    def serve(x: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(marker), "ran")]):
            return {"lstm": tf.identity(model(x))}

    return tf.function(serve, [tf.TensorSpec((None, 4, 2), "float32", name="x")])


def saved(folder: Path, model: Any, signature: Any = None) -> Any:
    """A model that was saved as a SavedModel, opened."""
    model.save(folder / "saved", save_format="tf", signatures=signature)
    return lstm_inspect.open_model(folder / "saved")


def lstm(**options: Any) -> Any:
    return tf_keras.layers.LSTM(3, name="lstm", **options)


def test_a_layer_is_proven_by_the_result_that_depends_on_it(tmp_path: Path) -> None:
    model = saved(tmp_path, model_of(lstm(), tf_keras.layers.Dense(2, "softmax", name="head")))
    verification = verify(model, X)
    assert verification.skipped == {}
    assert verification.agrees
    assert [layer.proof for layer in verification.layers] == ["whole model"]
    assert [each.what for each in verification.comparisons][-1] == "output head"


def test_a_replay_that_differs_shows_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path, model_of(lstm()))
    step = LstmCell.step

    def wrong(self: LstmCell, projected: Any, previous: Any, out: Any, scratch: Any) -> None:
        step(self, projected, previous, out, scratch)
        out["h"] += 0.5

    monkeypatch.setattr(LstmCell, "step", wrong)
    verification = verify(model, X)
    assert not next(each for each in verification.comparisons if each.what == "output lstm").agrees


def test_a_function_for_batches_of_one_sample_gets_them_one_by_one(tmp_path: Path) -> None:
    import tensorflow as tf

    model = model_of(lstm())
    function = tf.function(lambda x: {"states": model(x)})
    spec = tf.TensorSpec((1, 4, 2), "float32", name="anything")
    opened = saved(tmp_path, model, function.get_concrete_function(spec))
    verification = verify(opened, X)
    assert verification.skipped == {}
    assert verification.agrees
    assert [layer.proof for layer in verification.layers] == ["whole model"]


def test_a_function_that_does_more_than_compute_is_not_run(tmp_path: Path) -> None:
    import tensorflow as tf

    model, marker = model_of(lstm()), tmp_path / "ran"

    verification = verify(saved(tmp_path, model, trap(model, marker)), X)
    assert verification.skipped[WHOLE_MODEL] == "its function serving_default runs WriteFile"
    assert [layer.proof for layer in verification.layers] == ["layer only"]
    assert not marker.exists()
    # The control: the trap is live for whoever runs the function.
    tf.saved_model.load(tmp_path / "saved").signatures["serving_default"](x=tf.constant(X))
    assert marker.exists()


def test_a_graph_in_two_parts_is_read_as_tensorflow_reads_it(tmp_path: Path) -> None:
    """The second part of the objects has a harmless function; TensorFlow merges both parts."""
    from tensorflow.core.protobuf import saved_model_pb2

    model, marker = model_of(lstm()), tmp_path / "ran"
    saved(tmp_path, model, trap(model, marker))
    path = tmp_path / "saved" / "saved_model.pb"
    parsed = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    graph = parsed.meta_graphs[0].SerializeToString() + b"\x3a\x02\x0a\x00"  # an object more
    start = b"\x08\x01\x12"  # the version, then a graph of this many bytes
    size = len(graph)
    while size > 0x7F:
        start += bytes([size & 0x7F | 0x80])
        size >>= 7
    path.write_bytes(start + bytes([size]) + graph)
    verification = verify(lstm_inspect.open_model(tmp_path / "saved"), X)
    assert verification.skipped[WHOLE_MODEL] == "its function serving_default runs WriteFile"
    assert not marker.exists()


def test_each_of_several_results_of_one_layer_is_compared(tmp_path: Path) -> None:
    x = tf_keras.Input((4, 2), name="x")
    model = tf_keras.Model(x, lstm(return_state=True)(x))
    verification = verify(saved(tmp_path, model), X)
    assert verification.skipped == {}
    assert verification.agrees
    named = [each.what for each in verification.comparisons if each.what.startswith("output")]
    assert named == ["output lstm", "output lstm_1", "output lstm_2"]


def test_a_model_with_a_table_is_not_loaded(tmp_path: Path) -> None:
    import tensorflow as tf

    model = model_of(lstm())
    model.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer([1], [2], key_dtype="int64", value_dtype="int64"), 0
    )
    verification = verify(saved(tmp_path, model), X)
    assert verification.skipped[WHOLE_MODEL] == "it has resources"


def test_a_damaged_graph_is_one_line(tmp_path: Path) -> None:
    model = saved(tmp_path, model_of(lstm()))
    damaged = model.source.data[: len(model.source.data) // 2]
    object.__setattr__(model.source, "data", damaged)
    with pytest.raises(lstm_inspect.ModelFileError, match="damaged"):
        verify(model, X)
