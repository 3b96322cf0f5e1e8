"""Cases that hold a layer against genuine Keras: its parameters, its inputs, its output."""

import importlib
import inspect
import itertools
import json
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.arrays import as_floats
from lstm_inspect.errors import InspectError, UnsupportedLayerError
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.genuine.bridge import call_layer, can_build
from lstm_inspect.layers import Value, form_of, map_values, output_shape
from lstm_inspect.model import Layer, fits
from lstm_inspect.nested import leaves
from lstm_inspect.sources.keras.layer_config import Dialect, LayerConfig
from lstm_inspect.sources.keras.parts import read_layer
from lstm_inspect.sources.keras.settings import AUGMENTATIONS
from tests.conftest import Array
from tests.layer_values import rank_of, settings_of

KERAS = {3: "keras", 2: "tf_keras"}
"""The package of each generation of Keras."""

DTYPES = ("float32", "float16", "float64", "mixed_float16")


class Case(NamedTuple):
    """One call of one genuine layer, and what came of it.

    Attributes:
        where: Its parameters and inputs, for messages.
        settings: The parameters that its class was built with.
        layer: The layer as it is read from its config and arrays, or why it cannot be read.
        args: The arguments of the call, with a `Value` for every tensor.
        kwargs: The keyword arguments of the call.
        expected: The first output of genuine Keras.
    """

    where: str
    settings: dict[str, Any]
    layer: Layer | InspectError
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    expected: Value


def cases_of(generation: int, class_name: str, is_brief: bool, **further: Any) -> Iterator[Case]:
    """Calls of a class of Keras; what Keras refuses to build or to call stands in no model.

    Args:
        generation: 2 or 3.
        class_name: The class.
        is_brief: Whether a few calls are enough, since each one costs a genuine layer.
        further: Settings that are read and that genuine Keras does not get.
    """
    cls = getattr(importlib.import_module(KERAS[generation]).layers, class_name)
    dtypes = ("int64", "float32") if class_name in _TO_INDICES else DTYPES
    for number, settings in enumerate(settings_of(cls, 2 if is_brief else 12)):
        is_plain = number == 0
        accepted = 0
        for dtype, shapes in itertools.product(
            dtypes if is_plain else dtypes[:1], shapes_of(class_name)
        ):
            if is_brief and not is_plain and accepted == 2:
                break
            saved = _saved(generation, cls, {**settings, "dtype": dtype}, shapes)
            if saved is None:
                continue
            genuine, entry = saved
            accepted += 1
            entry["config"].update(further)
            try:
                layer: Layer | InspectError = read(generation, entry, genuine)
            except InspectError as error:
                layer = error
            calls = calls_of(class_name, shapes, dtype, is_plain)
            for kind, kwargs, args in itertools.islice(
                calls, 2 if is_brief and not is_plain else None
            ):
                expected = _called(genuine, args, kwargs)
                if expected is not None:
                    where = f"{settings} {dtype} on {kind} {shapes} {kwargs or ''}"
                    yield Case(where, settings, layer, args, kwargs, expected)


def entry_of(generation: int, genuine: Any) -> dict[str, Any]:
    """The entry of a layer in a model config, as a file has it."""
    if generation == 3:
        from keras.saving import serialize_keras_object

        text = json.dumps(serialize_keras_object(genuine))
    else:
        from tf_keras.src.saving.legacy.saved_model.json_utils import get_json_type

        entry = {"class_name": type(genuine).__name__, "config": genuine.get_config()}
        text = json.dumps(entry, default=get_json_type)
    entry = json.loads(text)
    assert isinstance(entry, dict)
    return entry


def read(generation: int, entry: dict[str, Any], genuine: Any) -> Layer:
    """Reads a layer of a file, with the arrays of a genuine layer."""
    arrays = [np.asarray(array) for array in genuine.get_weights()]
    dialect = Dialect(generation, 15, is_tf_keras=True, is_theano=False)
    return read_layer(LayerConfig(entry, dialect), arrays, "it")


def calls_of(
    class_name: str, shapes: Any, dtype: str, is_plain: bool
) -> Iterator[tuple[str, dict[str, Any], tuple[Any, ...]]]:
    """The calls of a layer: a description, keyword arguments, and arguments of `Value`."""
    flat = shapes if isinstance(shapes, list) else [shapes]
    own = "int32" if class_name in _OF_INDICES else dtype.removeprefix("mixed_")
    others = ["float32" if own != "float32" else "int32"]
    if is_plain and dtype == "float32":
        others += ["float64", "float16", "uint8", "float32 int32"]
    if class_name in AUGMENTATIONS:
        others = [given for given in others if "int" not in given]  # images of floats alone
    for given in [own, *others]:
        # A mask comes from a layer, which computes in the dtype of its model.
        masked = _masks(flat) if given == own else [[None] * len(flat)]
        for masks in masked:
            values = [
                Value(numbers(class_name, shape, each, seed), mask)
                for seed, (shape, each, mask) in enumerate(
                    zip(flat, itertools.cycle(given.split()), masks, strict=False)
                )
            ]
            kind = f"{given} masked {[None if m is None else m.shape for m in masks]}"
            for kwargs in CALLS.get(class_name, [{}])[: None if is_plain else 1]:
                match shapes:
                    case list() if class_name == "MultiHeadAttention":
                        yield kind, kwargs, tuple(values)
                    case list():
                        yield kind, kwargs, (values,)
                    case _:
                        yield kind, kwargs, (values[0],)


CALLS: dict[str, list[dict[str, Any]]] = {
    name: [{}, {"use_causal_mask": True}]
    for name in ("AdditiveAttention", "Attention", "MultiHeadAttention")
}
"""The keyword arguments of the calls of a class."""


def shapes_of(class_name: str) -> list[Any]:
    """The shapes to call a class on; a list of shapes if it takes several tensors."""
    spatial: dict[int, list[Any]] = {1: [(3, 7, 4)], 2: [(3, 6, 7, 4)], 3: [(3, 5, 4, 6, 4)]}
    if class_name in (*AUGMENTATIONS, *_OF_IMAGES, "CenterCrop", "Resizing"):
        return [(3, 6, 8, 3)]
    if class_name == "MelSpectrogram":
        return [(3, 64)]
    if class_name == "STFTSpectrogram":
        return [(3, 64, 20)]  # long enough for a frame along either axis
    if class_name == "HashedCrossing":
        return [[(3, 1), (3, 1)], [(3, 1), (3, 1), (3, 1)]]
    if rank := rank_of(class_name):
        return spatial[rank]
    if class_name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply"):
        return [*_PAIRS, [(3, 5, 4)] * 3, [(3, 5, 4), (3, 1, 4), (3, 5, 1)]]
    if class_name in ("Subtract", "Dot"):
        return _PAIRS
    if class_name in ("Attention", "AdditiveAttention", "MultiHeadAttention"):
        return [[(3, 4, 5), (3, 6, 5)], [(3, 4, 5), (3, 6, 5), (3, 6, 5)]]
    return [(3, 4), (3, 5, 4), (3, 4, 5, 4), (3, 2, 3, 4, 4)]


_OF_IMAGES = (
    *("AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "Equalization"),
    *("RandomCrop", "Solarization"),
)
_TO_INDICES = ("HashedCrossing", "Hashing", "IntegerLookup")
_OF_INDICES = ("CategoryEncoding", "Embedding", "ReversibleEmbedding", *_TO_INDICES)
_PAIRS: list[Any] = [
    *([shape] * 2 for shape in [(3, 4), (3, 5, 4), (3, 4, 5, 4)]),
    [(3, 5, 4), (3, 1, 4)],
    [(3, 5, 4), (3, 5, 1)],
    [(3, 4), (3, 5, 4)],
    [(3, 5, 4), (3, 4)],
    [(3, 5, 4), (3, 2, 4)],
    [(3, 5, 4), (3, 5, 2)],
]


def numbers(class_name: str, shape: Sequence[int], dtype: str, seed: int) -> Array:
    """Numbers for a layer, with steps that are 0: indices, colours, or numbers from -3 to 3."""
    low, high = (0, 6) if class_name in _OF_INDICES else (-3, 3)
    if class_name in (*AUGMENTATIONS, *_OF_IMAGES):
        low, high = 0, 256
    x = np.random.default_rng(seed).uniform(low, high, shape)
    x[:, -1] = 0
    if low < 0 and dtype == "uint8":
        x = np.abs(x)
    return x.astype(dtype)


def _masks(shapes: Sequence[tuple[int, ...]]) -> Iterator[list[Array | None]]:
    """Masks for the tensors of a call: of none, of some, of all, and one for each vector."""
    nothing: list[Array | None] = [None] * len(shapes)
    yield nothing
    if any(len(shape) < 3 for shape in shapes):
        return
    ours = [_mask(shape[:2], seed) for seed, shape in enumerate(shapes)]
    yield [*ours]
    if len(shapes) > 1:
        yield [ours[0], *nothing[1:]]
        yield [*nothing[1:], ours[-1]]
    if any(len(shape) > 3 for shape in shapes):
        yield [_mask(shape[:-1], seed) for seed, shape in enumerate(shapes)]


def _mask(shape: tuple[int, ...], seed: int) -> Array:
    mask = np.random.default_rng(seed).uniform(size=shape) < 0.6
    mask[1], mask[2] = True, False
    return mask


def _saved(generation: int, cls: Any, settings: dict[str, Any], shapes: Any) -> Any:
    """A genuine layer, with arrays of random numbers, and its entry in a file.

    It is the layer as Keras loads it: an entry does not say everything of the layer that was saved.
    None if Keras refuses to build it or to call it.
    """
    _, kwargs, args = next(calls_of(cls.__name__, shapes, settings["dtype"], False))
    try:
        built = cls(**settings)
        entry = entry_of(generation, built)
        genuine = _loaded(generation, entry) or built
        if _called(genuine, args, kwargs) is None:
            return None
        generator = np.random.default_rng(0)
        arrays = [np.asarray(array) for array in genuine.get_weights()]
        genuine.set_weights([generator.uniform(0.1, 1, x.shape).astype(x.dtype) for x in arrays])
        if arrays and hasattr(genuine, "finalize_state"):
            genuine.finalize_state()  # a Normalization does so when it loads its arrays
    except Exception:
        return None
    return genuine, entry


def _loaded(generation: int, entry: dict[str, Any]) -> Any:
    """The layer that Keras makes of an entry; None if it cannot load what it saved."""
    try:
        if generation == 3:
            from keras.saving import deserialize_keras_object

            return deserialize_keras_object(entry)
        from tf_keras.layers import deserialize

        return deserialize(entry)
    except Exception:
        return None


def _called(genuine: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value | None:
    """The first output of genuine Keras at inference; None if it refuses or gives no numbers."""
    import tensorflow as tf

    def tensor(value: Value) -> Any:
        given = tf.constant(value.array)
        if value.mask is not None:
            given._keras_mask = tf.constant(value.mask)
        return given

    if "training" in inspect.signature(genuine.call).parameters:
        kwargs = {**kwargs, "training": False}
    try:
        with warnings.catch_warnings(action="ignore"):
            output = genuine(*map_values(args, tensor), **kwargs)
    except Exception:
        return None
    first = output[0] if isinstance(output, (list, tuple)) else output
    if isinstance(first, tf.SparseTensor):
        first = tf.sparse.to_dense(first)
    if 0 in first.shape:
        return None  # in front of a recurrence there are numbers
    mask = getattr(first, "_keras_mask", None)
    return Value(np.array(first), None if mask is None else np.array(mask))


def computed(case: Case) -> Value:
    """What this package computes for a case, in NumPy or through the bridge, as a replay does."""
    if isinstance(case.layer, InspectError):
        raise case.layer
    form = form_of(case.layer, case.kwargs)
    if form is not None:
        with np.errstate(invalid="ignore", over="ignore"):
            return form.apply(case.layer, [*leaves(case.args)])[0]
    if not can_build(case.layer):
        raise UnsupportedLayerError(f"{case.layer.label} cannot be run")
    return call_layer(case.layer, case.args, case.kwargs, DEFAULT_LIMITS, lambda size: None)[0]


def misstated(case: Case) -> str | None:
    """How the shape that a config states differs from that of genuine Keras; None if it does not.

    It is asked for three times: of the inputs as they are, without the batch, and without the next
    size too. A size that the config leaves open is no difference then, but behind the batch alone.
    """
    if isinstance(case.layer, InspectError):
        return None
    shapes = [value.array.shape for value in leaves(case.args)]
    expected = case.expected.array.shape
    if (found := output_shape(case.layer, case.kwargs, shapes)) != expected:
        return f"stated shape {found}, expected {expected}"
    found = output_shape(case.layer, case.kwargs, [(None, *shape[1:]) for shape in shapes])
    if found is None or found[1:] != expected[1:]:
        return f"stated shape {found} of any batch, expected {expected}"
    found = output_shape(case.layer, case.kwargs, [(None, None, *shape[2:]) for shape in shapes])
    if found is not None and not fits(expected, found):
        return f"stated shape {found} of any length, expected {expected}"
    return None


TOLERANCES = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-10}


def difference(found: Value, case: Case) -> str | None:
    """How an output differs from that of genuine Keras, in words; None if it does not."""
    expected = case.expected
    given = [value.array for value in leaves(case.args)]
    ours, theirs = found.array, expected.array
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, expected {theirs.shape}"
    if ours.dtype != theirs.dtype:
        return f"dtype {ours.dtype}, expected {theirs.dtype}"
    if (found.mask is None) != (expected.mask is None):
        return "a mask, expected none" if expected.mask is None else "no mask, expected one"
    if not np.array_equal(found.mask, expected.mask):  # type: ignore[arg-type]  # None is equal
        return "another mask"
    if theirs.dtype.kind != "f":
        return None if np.array_equal(ours, theirs) else "whole numbers"
    # What was computed is as exact as the coarsest dtype that it went through.
    through = {str(theirs.dtype), *(str(as_floats(array).dtype) for array in given)}
    within = max(TOLERANCES[dtype] for dtype in through)
    size = float(np.max(np.abs(theirs[np.isfinite(theirs)]), initial=1))
    if not np.allclose(ours, theirs, rtol=within, atol=within * size, equal_nan=True):
        return f"values, by {np.max(np.abs(ours.astype(float) - theirs.astype(float)))}"
    return None
