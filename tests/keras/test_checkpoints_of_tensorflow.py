"""TensorFlow reads the checkpoints that the tests write, and the reader those of TensorFlow."""

from pathlib import Path

import numpy as np
import pytest

from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.files.tensor_bundle import TensorBundle
from lstm_inspect.sources.keras.stores.object_graph import read_object_graph
from tests.checkpoints import DTYPES, Graph, write_bundle
from tests.conftest import random

pytestmark = pytest.mark.keras


def test_tensorflow_reads_what_the_tests_write(tmp_path: Path) -> None:
    import tensorflow as tf

    arrays = {name: random(2, 3).astype(name) for name in DTYPES}
    graph = Graph()
    graph.add("layer-0/kernel", "float32")
    prefix = write_bundle(tmp_path / "v", arrays, graph.encoded())
    reader = tf.train.load_checkpoint(str(prefix))
    for name, array in arrays.items():
        np.testing.assert_array_equal(reader.get_tensor(name), array, strict=True)
    assert reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH") == graph.encoded()


def test_the_reader_reads_what_tensorflow_writes(tmp_path: Path) -> None:
    import tensorflow as tf

    arrays = {name: random(40, 3).astype(name) for name in DTYPES}
    variables = {name: tf.Variable(array) for name, array in arrays.items()}
    half = tf.Variable(tf.constant([1.5, -2.0], tf.bfloat16))
    prefix = tf.train.Checkpoint(**variables, half=half).save(str(tmp_path / "c"))
    bundle = TensorBundle(Path(prefix), DEFAULT_LIMITS)
    graph = read_object_graph(bundle, "c", DEFAULT_LIMITS)
    for name, array in arrays.items():
        number = graph.at(0, name)
        assert number is not None
        read = graph.objects[number].variable
        assert read is not None
        np.testing.assert_array_equal(read[1], array, strict=True)
    number = graph.at(0, "half")
    assert number is not None
    read = graph.objects[number].variable
    assert read is not None
    assert read[1].tolist() == [1.5, -2.0]
