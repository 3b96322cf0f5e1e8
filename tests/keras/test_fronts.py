"""Layers in front of an LSTM, in files that Keras 3 writes: the states are those of Keras."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect.genuine.bridge import BUILT_IN
from lstm_inspect.sources.keras.layer_options import READERS
from tests.conftest import Array

pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
]

# Not "keras": without Keras, Python could import the folder of these tests under that name.
layers = pytest.importorskip("keras.layers")


class Front(NamedTuple):
    """What stands in front of the LSTM.

    Attributes:
        call: Takes the input, returns a sequence of numbers.
        shape: The shape of the input, without the batch.
        dtype: Its dtype.
    """

    call: Callable[[Any], Any]
    shape: tuple[int, ...] = (6, 4)
    dtype: str = "float32"


IMAGE = (6, 8, 3)


def rows(steps: int, x: Any) -> Any:
    return layers.Reshape((steps, -1))(x)


def masked(x: Any) -> Any:
    return layers.Masking(0.0)(x)


def floats(x: Any) -> Any:
    from keras import ops

    return ops.cast(x, "float32")


def adapted_lookup() -> Any:
    lookup = layers.IntegerLookup()
    lookup.adapt(np.array([1, 2, 2, 5, 5, 5, 9]))
    return lookup


def reversible(x: Any) -> Any:
    embedding = layers.ReversibleEmbedding(10, 4)
    return embedding(embedding(x), reverse=True)


FRONTS = {
    "layer_norm": Front(lambda x: layers.LayerNormalization()(x)),
    "causal_conv": Front(lambda x: layers.Conv1D(3, 2, padding="causal")(x)),
    "separable_conv": Front(lambda x: layers.SeparableConv1D(3, 2, activation="relu")(x)),
    "leaky_relu": Front(lambda x: layers.LeakyReLU()(x)),
    "leaky_slope": Front(lambda x: layers.LeakyReLU(0.125)(x)),
    "norm_of_steps": Front(lambda x: layers.LayerNormalization(axis=[1, 2])(x)),
    "norm_alone": Front(lambda x: layers.LayerNormalization(scale=False, center=False)(x)),
    "masked_average": Front(
        lambda x: layers.RepeatVector(3)(layers.GlobalAveragePooling1D()(masked(x)))
    ),
    "average_2d": Front(lambda x: rows(1, layers.GlobalAveragePooling2D(keepdims=True)(x)), IMAGE),
    "self_attention": Front(lambda x: layers.Attention()([x, x])),
    "multi_head": Front(lambda x: layers.MultiHeadAttention(2, 3)(x, x)),
    "multi_head_gate": Front(lambda x: layers.MultiHeadAttention(2, 3, use_gate=True)(x, x)),
    "grouped_query": Front(lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x)),
    "grouped_gate": Front(lambda x: layers.GroupQueryAttention(3, 4, 2, use_gate=True)(x, x)),
    "grouped_masked": Front(
        lambda x: layers.GroupQueryAttention(3, 4, 2)(masked(x), masked(x)),
    ),
    "rms_norm": Front(lambda x: layers.RMSNormalization()(x)),
    "spectral_norm": Front(lambda x: layers.SpectralNormalization(layers.Dense(3))(x)),
    "adaptive": Front(lambda x: layers.AdaptiveAveragePooling1D(3)(x)),
    "discretization": Front(
        lambda x: layers.Discretization([-0.5, 0.0, 0.5], output_mode="int")(x)
    ),
    "categories": Front(
        lambda x: layers.CategoryEncoding(5, output_mode="multi_hot")(
            layers.Discretization([-0.5, 0.0, 0.5])(x)
        )
    ),
    "resizing": Front(lambda x: rows(2, layers.Resizing(2, 3)(x)), IMAGE),
    "center_crop": Front(lambda x: rows(2, layers.CenterCrop(2, 3)(x)), IMAGE),
    "equal": Front(lambda x: rows(6, layers.Equalization()(x)), IMAGE),
    "contrast": Front(lambda x: rows(6, layers.AutoContrast()(x)), IMAGE),
    "adaptive_contrast": Front(
        lambda x: rows(6, layers.ContrastLimitedAdaptiveHistogramEqualization()(x)), IMAGE
    ),
    "solarization": Front(lambda x: rows(6, layers.Solarization(0.4)(x)), IMAGE),
    "flip": Front(lambda x: rows(6, layers.RandomFlip()(x)), IMAGE),
    "pipeline": Front(
        lambda x: rows(
            4,
            layers.Pipeline([layers.Rescaling(0.5), layers.RandomFlip(), layers.CenterCrop(4, 4)])(
                x
            ),
        ),
        IMAGE,
    ),
    "mel": Front(
        lambda x: layers.MelSpectrogram(
            fft_length=32, sequence_stride=16, num_mel_bins=8, sampling_rate=1000
        )(x),
        (256,),
    ),
    "zero_padding": Front(lambda x: layers.ZeroPadding1D(2)(x)),
    "masked_norm": Front(lambda x: layers.LayerNormalization()(masked(x))),
    "over_time": Front(lambda x: layers.TimeDistributed(layers.GlobalAveragePooling1D())(x), IMAGE),
    "conv2d": Front(
        lambda x: rows(3, layers.MaxPooling2D((2, 2))(layers.Conv2D(4, 3, padding="same")(x))),
        IMAGE,
    ),
    "hashing": Front(lambda x: floats(layers.Hashing(7)(x)), dtype="int32"),
    "hashing_salt": Front(
        lambda x: floats(layers.Hashing(7, salt=[3, 4], mask_value=2)(x)), dtype="int32"
    ),
    "crossing": Front(
        lambda x: rows(1, floats(layers.HashedCrossing(5)((x[:, 0, 0], x[:, 1, 1])))), dtype="int32"
    ),
    "lookup": Front(lambda x: floats(layers.IntegerLookup(vocabulary=[3, 5, 7])(x)), dtype="int32"),
    "lookup_hot": Front(
        lambda x: layers.RepeatVector(2)(
            layers.IntegerLookup(vocabulary=[3, 5, 7], output_mode="multi_hot", num_oov_indices=2)(
                x
            )
        ),
        (6,),
        "int32",
    ),
    "lookup_adapted": Front(lambda x: floats(adapted_lookup()(x)), dtype="int32"),
    "reversible": Front(reversible, (6,), "int32"),
}

NOT_IN_H5 = {
    "lookup_adapted",  # its .h5 lacks what it learned
    "solarization",  # Keras 3.15.1 cannot write it there
}


def built(name: str, folder: Path, suffix: str) -> tuple[Any, Path, Array]:
    """A genuine model with random weights, its file, and an input."""
    from keras import Input, Model

    front = FRONTS[name]
    x = Input(front.shape, name="x", dtype=front.dtype)
    model = Model(x, layers.LSTM(5, return_sequences=True, name="lstm")(front.call(x)))
    generator = np.random.default_rng(1)
    model.set_weights([generator.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    path = folder / f"m{suffix}"
    model.save(path)
    shape = (2, *front.shape)
    given = generator.integers(0, 9, shape) if front.dtype == "int32" else generator.random(shape)
    return model, path, given.astype(front.dtype)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        (name, suffix)
        for name in FRONTS
        for suffix in (".keras", ".h5")
        if suffix == ".keras" or name not in NOT_IN_H5
    ],
)
def test_a_layer_in_front_is_run_as_keras_runs_it(name: str, suffix: str, tmp_path: Path) -> None:
    model, path, x = built(name, tmp_path, suffix)
    if "masked" in name:
        x[0, 4:] = 0
    trace = lstm_inspect.trace(lstm_inspect.open_model(path), x)
    np.testing.assert_allclose(trace["lstm"].h, model.predict(x, verbose=0), atol=1e-6)


def test_a_vocabulary_that_the_file_lacks_is_missed(tmp_path: Path) -> None:
    _, path, x = built("lookup_adapted", tmp_path, ".h5")
    with pytest.raises(lstm_inspect.UnsupportedLayerError, match="Table not initialized"):
        lstm_inspect.trace(lstm_inspect.open_model(path), x)


def test_every_layer_of_keras_runs_in_front_except_for_text_and_code() -> None:
    built_in = {
        each.__name__
        for name in dir(layers)
        if inspect.isclass(each := getattr(layers, name)) and issubclass(each, layers.Layer)
    }
    recurrent = {
        *("Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "GRUCell", "LSTM"),
        *("LSTMCell", "RNN", "SimpleRNN", "SimpleRNNCell", "StackedRNNCells", "TimeDistributed"),
    }
    containers = {"InputLayer", "Layer", "Pipeline", "SpectralNormalization", "Wrapper"}
    code = {"FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper"}
    text = {"StringLookup", "TextVectorization"}
    boxes = {"MaxNumBoundingBoxes"}  # takes and gives no tensor, but a dict of boxes
    runs = BUILT_IN | READERS.keys()
    assert built_in - runs == recurrent | containers | code | text | boxes
