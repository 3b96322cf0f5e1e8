"""Every pure operation of Keras 3 in front of an LSTM: its result is the x that Keras computes.

Most operations are called on one or two tensors of the shape (2, 3, 4). `CALLS` has the others.
"""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect.genuine.pure_operations import OPERATIONS
from lstm_inspect.layers.operation_shapes import ELEMENTWISE
from lstm_inspect.layers.operations import FUNCTIONS

pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value"),
]

# Not "keras": without Keras, Python could import the folder of these tests under that name.
ops = pytest.importorskip("keras.ops")

INDICES = np.array([0, 2, 1])
KERNEL = np.linspace(-1, 1, 24, dtype="float32").reshape(2, 4, 3)


def numpy_operations() -> Any:
    from keras.src.ops import numpy

    return numpy


def image(x: Any) -> Any:
    return ops.reshape(x, (1, 2, 4, 3))


def square(x: Any) -> Any:
    """Symmetric matrices with positive eigenvalues."""
    return ops.matmul(x, ops.transpose(x, (0, 2, 1))) + ops.eye(3)


def row(x: Any) -> Any:
    return ops.sort(ops.reshape(x, (24,)))


def whole(x: Any) -> Any:
    return ops.cast(ops.abs(x) * 10, "int32")


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def on(name: str, *others: Any, **named: Any) -> Callable[[Any], Any]:
    """A call of an operation with further arguments."""
    return lambda x: getattr(ops, snake_case(name))(x, *others, **named)


def on_whole(name: str, *others: Any) -> Callable[[Any], Any]:
    """The same, on whole numbers."""
    return lambda x: getattr(ops, snake_case(name))(whole(x), *others)


CALLS: dict[str, Callable[[Any], Any]] = {
    "Abs": lambda x: numpy_operations().Abs()(-x),
    "AdaptiveAveragePool": lambda x: ops.adaptive_average_pool(x, (2,), "channels_last"),
    "AdaptiveMaxPool": lambda x: ops.adaptive_max_pool(x, (2,), "channels_last"),
    "AffineTransform": lambda x: ops.image.affine_transform(
        image(x), np.array([[1, 0.5, 0, 0, 1, 0, 0, 0]], "float32")
    ),
    "Argpartition": lambda x: ops.argpartition(row(x), 1)[1],
    "ArraySplit": lambda x: ops.array_split(x, 3, axis=2),
    "AveragePool": lambda x: ops.average_pool(x, 2, strides=1, padding="same"),
    "BatchNorm": lambda x: ops.batch_normalization(x, x[0, 0], x[0, 1] ** 2, -1),
    "Bincount": lambda x: ops.bincount(ops.reshape(whole(x), (24,)), minlength=40),
    "BitwiseAnd": lambda x: ops.bitwise_and(whole(x), whole(x * 3)),
    "BitwiseOr": lambda x: ops.bitwise_or(whole(x), whole(x * 3)),
    "BitwiseXor": lambda x: ops.bitwise_xor(whole(x), whole(x * 3)),
    "BroadcastTo": lambda x: ops.broadcast_to(x, (2, 2, 3, 4)),
    "CDist": lambda x: ops.cdist(x, x + 1),
    "Cast": lambda x: ops.cast(x * 10, "int32"),
    "Cholesky": lambda x: ops.cholesky(square(x)),
    "CholeskyInverse": lambda x: ops.cholesky_inverse(ops.cholesky(square(x))),
    "Clip": lambda x: ops.clip(x, 0.2, 0.5),
    "Concatenate": lambda x: ops.concatenate([x, x * 2], axis=1),
    "Conj": lambda x: numpy_operations().Conj()(x),
    "Conv": lambda x: ops.conv(x, KERNEL, padding="same"),
    "ConvTranspose": lambda x: ops.conv_transpose(
        x, KERNEL.transpose(0, 2, 1), 1, data_format="channels_last"
    ),
    "Corrcoef": lambda x: ops.corrcoef(x[0, :2]),
    "Correlate": lambda x: ops.correlate(row(x), row(x) * 2, mode="same"),
    "CropImages": lambda x: ops.image.crop_images(image(x), 1, 1, target_height=1, target_width=2),
    "Cross": lambda x: ops.cross(x[..., :3], x[..., 1:]),
    "CTCDecode": lambda x: ops.ctc_decode(x, np.array([3, 3]))[1],
    "CTCLoss": lambda x: ops.ctc_loss(
        np.array([[1, 2], [2, 1]]), x, np.array([2, 2]), np.array([3, 3])
    ),
    "DepthToSpace": lambda x: ops.depth_to_space(ops.reshape(x, (1, 2, 3, 4)), 2),
    "DepthwiseConv": lambda x: ops.depthwise_conv(x, KERNEL),
    "Det": lambda x: ops.det(square(x)),
    "Diag": lambda x: ops.diag(x[0, 0]),
    "Digitize": lambda x: ops.digitize(x, np.array([0.2, 0.5])),
    "Dot": lambda x: ops.dot(x, KERNEL[0]),
    "DotProductAttention": lambda x: ops.dot_product_attention(
        *[ops.reshape(x * n, (2, 3, 2, 2)) for n in (1, 2, 3)]
    ),
    "Dsplit": lambda x: ops.dsplit(x, 2),
    "Dstack": lambda x: ops.dstack([x, x * 2]),
    "Eig": lambda x: ops.sum(ops.eig(square(x))[0], axis=-1),
    "Eigh": lambda x: ops.eigh(square(x))[0],
    "Einsum": lambda x: ops.einsum("abc,bcd->abd", x, KERNEL.reshape(3, 4, 2)),
    "ExpandDims": lambda x: ops.expand_dims(x, 1),
    "ExtractPatches": lambda x: ops.image.extract_patches(image(x), 2),
    "ExtractSequences": lambda x: ops.extract_sequences(x, 2, 1),
    "FFT": lambda x: ops.fft((x, x * 0)),
    "FFT2": lambda x: ops.fft2((x, x * 0)),
    "Fold": lambda x: ops.fold(ops.reshape(x, (1, 4, 6)), (3, 4), (2, 2)),
    "Full": lambda x: ops.full((3,), x[0, 0, 0]),
    "GaussianBlur": lambda x: ops.image.gaussian_blur(image(x)),
    "Gcd": lambda x: ops.gcd(whole(x), whole(x * 3)),
    "GetItem": lambda x: x[:, ::2, -1],
    "HSVToRGB": lambda x: ops.image.hsv_to_rgb(image(x)),
    "Histogram": lambda x: ops.histogram(row(x), bins=4)[0],
    "Hsplit": lambda x: ops.hsplit(x, 3),
    "Hstack": lambda x: ops.hstack([x, x * 2]),
    "IFFT2": lambda x: ops.ifft2((x, x * 0)),
    "IRFFT": lambda x: ops.irfft((x, x * 0)),
    "ISTFT": lambda x: ops.istft(ops.stft(row(x), 8, 4, 8), 8, 4, 8),
    "InTopK": lambda x: ops.in_top_k(np.array([1, 3]), x[:, 0], 2),
    "Inner": lambda x: ops.inner(x, x * 2),
    "Inv": lambda x: ops.inv(square(x)),
    "IsIn": lambda x: ops.isin(whole(x), np.array([2, 3])),
    "LayerNorm": lambda x: ops.layer_normalization(x, x[0, 0], x[0, 1]),
    "Kron": lambda x: ops.kron(x[0], x[1]),
    "Lcm": lambda x: ops.lcm(whole(x), whole(x * 3)),
    "Ldexp": lambda x: ops.ldexp(x, whole(x)),
    "Linspace": lambda x: ops.linspace(x, x + 1, 3),
    "Logdet": lambda x: ops.logdet(square(x)),
    "Lstsq": lambda x: ops.lstsq(x[0], x[1][:, :1]),
    "LuFactor": lambda x: ops.lu_factor(square(x)[0])[0],
    "MapCoordinates": lambda x: ops.image.map_coordinates(
        x[0], np.array([[0, 0.5], [1, 1.5]], "float32"), 1
    ),
    "Matmul": lambda x: ops.matmul(x, KERNEL[0]),
    "MaxPool": lambda x: ops.max_pool(x, 2, strides=1),
    "Meshgrid": lambda x: ops.meshgrid(x[0, 0], x[0, :, 0]),
    "Moments": lambda x: ops.moments(x, axes=[1], keepdims=True),
    "Moveaxis": lambda x: ops.moveaxis(x, 1, -1),
    "MultiHot": lambda x: ops.multi_hot(whole(x), 20),
    "Ndim": lambda x: x[0, 0, 0] + ops.cast(ops.ndim(x), "float32"),
    "Norm": lambda x: ops.norm(x, ord=2, axis=-1),
    "OneHot": lambda x: ops.one_hot(whole(x), 20),
    "PSNR": lambda x: ops.psnr(x, x * 0.5, 1.0),
    "Pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 0)), mode="reflect"),
    "PadImages": lambda x: ops.image.pad_images(image(x), 1, 1, target_height=4, target_width=6),
    "PerspectiveTransform": lambda x: ops.image.perspective_transform(
        image(x),
        np.array([[[0, 0], [0, 3], [1, 0], [1, 3]]], "float32"),
        np.array([[[0, 1], [0, 3], [1, 0], [1, 2]]], "float32"),
    ),
    "Polar": lambda x: ops.view_as_real(ops.polar(x, x * 2)),
    "Power": lambda x: ops.power(x, 2.5),
    "Qr": lambda x: ops.abs(ops.qr(square(x))[1]),
    "RGBToGrayscale": lambda x: ops.image.rgb_to_grayscale(image(x)),
    "RGBToHSV": lambda x: ops.image.rgb_to_hsv(image(x)),
    "RMSNorm": lambda x: ops.rms_normalization(x, x[0, 0]),
    "Rearrange": lambda x: ops.rearrange(x, "a b (c d) -> a (b c) d", d=2),
    "Repeat": lambda x: ops.repeat(x, 2, axis=1),
    "Reshape": lambda x: ops.reshape(x, (2, 12)),
    "Resize": lambda x: ops.image.resize(image(x), (3, 3), interpolation="bicubic"),
    "Roll": lambda x: ops.roll(x, 1, axis=1),
    "SVD": lambda x: ops.svd(x, compute_uv=False),
    "SaturateCast": lambda x: ops.saturate_cast(x * 1000, "uint8"),
    "ScaleAndTranslate": lambda x: ops.image.scale_and_translate(
        image(x),
        (1, 3, 3, 3),
        np.array([1.5, 0.75], "float32"),
        np.array([0, 0.5], "float32"),
        (1, 2),
        "linear",
    ),
    "Scatter": lambda x: ops.scatter(np.array([[1], [3]]), x[0, :2], (5, 4)),
    "ScatterUpdate": lambda x: ops.scatter_update(x, np.array([[0, 1], [1, 2]]), x[:, 0]),
    "SearchSorted": lambda x: ops.searchsorted(row(x), x[0, 0]),
    "SegmentMax": lambda x: ops.segment_max(x[0], INDICES, 3),
    "SegmentMin": lambda x: ops.segment_min(x[0], INDICES, 3),
    "SegmentProd": lambda x: ops.segment_prod(x[0], INDICES, 3),
    "SegmentSum": lambda x: ops.segment_sum(x[0], INDICES, 3),
    "Select": lambda x: ops.select([x > 0.5, x > 0.2], [x, x * 2], default=3.0),
    "SeparableConv": lambda x: ops.separable_conv(
        x, KERNEL[..., :1], KERNEL.reshape(6, 4).T[None, :, :3]
    ),
    "Slice": lambda x: ops.slice(x, (0, 1, 1), (2, 2, 3)),
    "SliceUpdate": lambda x: ops.slice_update(x, (0, 1, 1), x[:, :1, :2]),
    "Slogdet": lambda x: ops.slogdet(square(x)[0]),
    "SobelEdges": lambda x: ops.image.sobel_edges(image(x)),
    "Solve": lambda x: ops.solve(square(x), x),
    "SolveTriangular": lambda x: ops.solve_triangular(square(x), x, lower=True),
    "SpaceToDepth": lambda x: ops.space_to_depth(ops.reshape(x, (1, 2, 4, 3)), 2),
    "SparseCategoricalCrossentropy": lambda x: ops.sparse_categorical_crossentropy(
        np.array([1, 3]), ops.softmax(x[:, 0])
    ),
    "Split": lambda x: ops.split(x, [1, 2], axis=-1),
    "STFT": lambda x: ops.stft(row(x), 8, 4, 8),
    "SSIM": lambda x: ops.image.ssim(
        ops.tile(image(x), (1, 6, 3, 1)), ops.tile(image(x), (1, 6, 3, 1)) * 0.5, 1.0
    ),
    "Stack": lambda x: ops.stack([x, x * 2], axis=1),
    "Swapaxes": lambda x: ops.swapaxes(x, 1, 2),
    "Take": lambda x: ops.take(x, INDICES, axis=1),
    "TakeAlongAxis": lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1),
    "Tensordot": lambda x: ops.tensordot(x, KERNEL, axes=[[2], [1]]),
    "Threshold": lambda x: ops.threshold(x, 0.4, -1.0),
    "Tile": lambda x: ops.tile(x, (1, 2, 1)),
    "TopK": lambda x: ops.top_k(x, 2),
    "Unfold": lambda x: ops.unfold(image(x), 2),
    "UnravelIndex": lambda x: ops.unravel_index(whole(x), (10, 10)),
    "Vander": lambda x: ops.vander(x[0, 0], 3),
    "View": lambda x: ops.view(x, dtype="int32"),
    "ViewAsComplex": lambda x: ops.view_as_complex(x[..., :2]),
    "Vsplit": lambda x: ops.vsplit(x, 2),
    "Vstack": lambda x: ops.vstack([x, x * 2]),
    "Where": lambda x: ops.where(x > 0.5, x, -x),
    **{
        name: on(name, 0.3, axis=1)
        for name in ("Nanpercentile", "Nanquantile", "Percentile", "Quantile")
    },
    **{
        name: on_whole(name, 2)
        for name in ("BitwiseLeftShift", "BitwiseRightShift", "LeftShift", "RightShift")
    },
    **{name: on_whole(name) for name in ("BitwiseInvert", "BitwiseNot")},
}

NO_SHAPE = {"Nonzero", "Unique"}
"""The number of their results depends on the data, so Keras builds no model with them."""


FAIL_IN_KERAS = {"ConvTranspose", "Histogram", "ViewAsComplex"}
"""Keras 3.15.1 builds a model with them, and cannot run it on TensorFlow."""


def function_of(name: str) -> Callable[..., Any]:
    """The function of Keras that makes an operation."""
    plain = {each.replace("_", "").lower(): each for each in dir(ops)}
    function: Callable[..., Any] = getattr(ops, plain[name.lower()])
    return function


def called(name: str, x: Any) -> Any:
    if name in CALLS:
        return CALLS[name](x)
    function = function_of(name)
    tensors = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return function(*[x * scale for scale in (1, 0.5)][: len(tensors) or 1])


def as_sequence(output: Any) -> Any:
    """An output as a sequence of one feature; for some operations Keras states a wrong shape."""
    real = ops.real(output) if str(output.dtype).startswith("complex") else output
    return ops.reshape(ops.cast(real, "float32"), (1, -1, 1))


def built(name: str) -> Any:
    """A genuine model: an input, one operation, an LSTM. It also gives the x of the LSTM."""
    from keras import Input, Model, layers, tree

    x = Input(batch_shape=(2, 3, 4), name="x")
    outputs = tree.flatten(called(name, x))
    joined = ops.concatenate([as_sequence(each) for each in outputs], axis=1)
    model = Model(x, [layers.LSTM(1, name="lstm")(joined), joined])
    assert name in {type(each).__name__ for each in model.operations}
    return model


X = np.random.default_rng(0).uniform(0.05, 0.95, (2, 3, 4)).astype("float32")


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - NO_SHAPE - FAIL_IN_KERAS))
def test_an_operation_gives_what_it_gives_in_keras(name: str, tmp_path: Path) -> None:
    model = built(name)
    model.save(tmp_path / "m.keras")
    opened = lstm_inspect.open_model(tmp_path / "m.keras")
    found = lstm_inspect.trace(opened, X, record="x", allow_nonfinite=True)["lstm"].x
    np.testing.assert_allclose(found, np.asarray(model(X)[1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *ELEMENTWISE} - NO_SHAPE - FAIL_IN_KERAS))
def test_the_shape_of_what_an_operation_gives_is_known(name: str, tmp_path: Path) -> None:
    from keras import tree

    built(name).save(tmp_path / "m.keras")
    shapes = lstm_inspect.model_shapes(lstm_inspect.open_model(tmp_path / "m.keras"))
    first, *_ = (call.output for call in shapes.calls if call.layer_class == name)
    output = tree.flatten(called(name, ops.convert_to_tensor(X)))[0]
    assert (first or ()) == tuple(output.shape)


@pytest.mark.parametrize("name", sorted(FAIL_IN_KERAS))
def test_what_keras_cannot_run_is_refused(name: str, tmp_path: Path) -> None:
    model = built(name)
    with pytest.raises((AttributeError, TypeError)):
        model(X)
    model.save(tmp_path / "m.keras")
    with pytest.raises(lstm_inspect.UnsupportedLayerError, match=rf"\({name}\): Keras cannot"):
        lstm_inspect.trace(lstm_inspect.open_model(tmp_path / "m.keras"), X)


def test_the_list_has_every_operation_of_keras_that_takes_no_function() -> None:
    import importlib
    import pkgutil

    import keras.src.ops
    from keras.src.ops.operation import Operation

    found = {}
    for module in pkgutil.iter_modules(keras.src.ops.__path__):
        if not module.name.endswith("_test"):
            for name, each in vars(importlib.import_module(f"keras.src.ops.{module.name}")).items():
                if inspect.isclass(each) and issubclass(each, Operation):
                    found[name] = each
    take_functions = {
        *("AssociativeScan", "Cond", "ForiLoop", "JVP", "Map", "Scan", "Switch", "VectorizedMap"),
        *("Function", "WhileLoop"),
    }
    no_operations = {"Arange", "ElasticTransform", "EmptyLike", "Operation", "SegmentReduction"}
    assert found.keys() - OPERATIONS.keys() == take_functions | no_operations
    assert OPERATIONS.keys() <= found.keys()
    assert FUNCTIONS.keys() <= OPERATIONS.keys()
    assert OPERATIONS.keys() >= ELEMENTWISE
