import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InputError
from lstm_inspect.genuine.bridge import BUILT_IN
from lstm_inspect.genuine.pure_operations import OPERATIONS
from lstm_inspect.layers import Form, Value, form_of, operation_of
from lstm_inspect.layers.operations import FUNCTIONS
from lstm_inspect.model import Concatenate, Layer, Merge, MergeDirections, Ref
from lstm_inspect.sources.keras.layer_config import Dialect, LayerConfig
from lstm_inspect.sources.keras.layer_options import READERS
from lstm_inspect.sources.keras.nodes import read_index
from lstm_inspect.sources.keras.parts import read_layer
from tests.conftest import (
    Array,
    functional,
    input_layer,
    lstm,
    lstm_weights,
    random,
    write_h5,
)
from tests.conftest import layer as entry

KERAS_2 = Dialect(keras=2, minor=15, is_tf_keras=True, is_theano=False)
KERAS_3 = Dialect(keras=3, minor=15, is_tf_keras=True, is_theano=False)


def make(
    class_name: str,
    weights: Sequence[Array] = (),
    *,
    dtype: str = "float32",
    dialect: Dialect = KERAS_2,
    **config: Any,
) -> Layer:
    """A layer as Keras saves it, called "it"."""
    config = {"dtype": dtype, **config}
    entry = {"class_name": class_name, "module": "keras.layers", "config": config}
    return read_layer(LayerConfig(entry, dialect), weights, "it")


def operation(name: str, **parameters: Any) -> Layer:
    """A pure operation between layers."""
    entry = {"class_name": name, "module": "keras.src.ops.numpy", "config": parameters}
    return read_layer(LayerConfig(entry, KERAS_3), (), "it")


def merging(class_name: str, masks: str) -> Layer:
    """A layer that merges its inputs, with a rule for their masks."""
    layer = make(class_name)
    assert isinstance(layer.options, Merge)
    return replace(layer, options=layer.options._replace(masks=masks))


def directions(merge_mode: str | None = "concat") -> Layer:
    """The layer that merges the two directions of a Bidirectional."""
    layer = make("Bidirectional")
    return replace(layer, options=MergeDirections(merge_mode=merge_mode, time_axis=None))


def form(layer: Layer) -> Form:
    """The NumPy form of a layer, which must have one."""
    found = form_of(layer, {})
    assert found is not None
    return found


def apply(layer: Layer, *inputs: Any, masks: Sequence[Any] | None = None) -> Value:
    """Runs a layer in its NumPy form; returns its only output."""
    values = [
        Value(np.asarray(array), None if mask is None else np.asarray(mask))
        for array, mask in zip(inputs, masks or [None] * len(inputs), strict=True)
    ]
    (output,) = form(layer).apply(layer, values)
    return output


def f32(values: Any) -> Array:
    """An array of float32."""
    return np.asarray(values, "float32")


MASK = np.array([[True, True, False], [True, False, False]])


def described(value: object) -> str | None:
    """The text for a layer in the name of a test."""
    return f"{value.class_name}-{dict(value.config)}" if isinstance(value, Layer) else None


# --- values


def test_masking_masks_the_steps_whose_every_feature_is_the_mask_value() -> None:
    x = f32([[[7, 7], [7, 1], [2, 3]]])
    output = apply(make("Masking", mask_value=7.0), x)
    assert output.mask is not None
    assert output.mask.tolist() == [[False, True, True]]
    assert output.array.tolist() == [[[0, 0], [7, 1], [2, 3]]]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_embedding_looks_each_index_up(dtype: str) -> None:
    table = f32([[0, 1], [2, 3], [4, 5]])
    output = apply(make("Embedding", [table], output_dim=2), np.array([[2, 0]], dtype))
    assert output.array.tolist() == [[[4, 5], [0, 1]]]
    assert output.mask is None


def test_embedding_masks_index_0_if_mask_zero() -> None:
    layer = make("Embedding", [f32([[0], [1]])], output_dim=1, mask_zero=True)
    output = apply(layer, np.array([[1, 0, 1]]))
    assert output.mask is not None
    assert output.mask.tolist() == [[True, False, True]]


@pytest.mark.parametrize("index", [-1, 3])
def test_embedding_refuses_an_index_outside_its_table_with_the_position(index: int) -> None:
    layer = make("Embedding", [f32(np.zeros((3, 2)))], output_dim=2)
    with pytest.raises(InputError) as refused:
        apply(layer, np.array([[0, 1], [2, index]]))
    expected = f"layer it: expected indices from 0 to 2, received {index} at [1, 1]"
    assert str(refused.value) == expected


def test_dense_multiplies_adds_its_bias_and_activates() -> None:
    kernel, bias = f32([[1, -1], [2, -2]]), f32([0.5, 0.25])
    layer = make("Dense", [kernel, bias], units=2, activation="relu")
    output = apply(layer, f32([[[1, 1], [0, -1]]]), masks=[[[True, False]]])
    assert output.array.tolist() == [[[3.5, 0], [0, 2.25]]]
    assert output.mask is not None
    assert output.mask.tolist() == [[True, False]]


@pytest.mark.parametrize("activation", [None, "linear"])
def test_dense_may_have_neither_bias_nor_activation(activation: str | None) -> None:
    layer = make("Dense", [f32([[-2]])], units=1, activation=activation)
    assert apply(layer, f32([[3]])).array.tolist() == [[-6]]


def test_activation_leaves_what_it_reads_as_it_is() -> None:
    x = f32([[-1, 2]])
    assert apply(make("Activation", activation="relu"), x).array.tolist() == [[0, 2]]
    assert x.tolist() == [[-1, 2]]


def test_repeat_vector_repeats_along_a_new_axis_of_time() -> None:
    output = apply(make("RepeatVector", n=3), f32([[1, 2], [3, 4]]))
    assert output.array.tolist() == [[[1, 2]] * 3, [[3, 4]] * 3]


@pytest.mark.parametrize("target", [[3, 2], [-1, 2], [3, -1]], ids=str)
def test_reshape_keeps_the_batch_and_the_order(target: list[int]) -> None:
    x = f32(np.arange(12).reshape(2, 6))
    output = apply(make("Reshape", target_shape=target), x)
    assert output.array.tolist() == [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]]


def test_flatten_keeps_the_batch_and_the_order() -> None:
    output = apply(make("Flatten"), f32(np.arange(8).reshape(2, 2, 2)))
    assert output.array.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_permute_counts_axes_from_1_behind_the_batch() -> None:
    output = apply(make("Permute", dims=[2, 1]), f32([[[1, 2, 3], [4, 5, 6]]]))
    assert output.array.tolist() == [[[1, 4], [2, 5], [3, 6]]]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (-1, [[[1, 2, 5, 6], [3, 4, 7, 8]]]),
        (2, [[[1, 2, 5, 6], [3, 4, 7, 8]]]),
        (1, [[[1, 2], [3, 4], [5, 6], [7, 8]]]),
    ],
)
def test_concatenate_joins_along_its_axis(axis: int, expected: list[Any]) -> None:
    output = apply(make("Concatenate", axis=axis), f32([[[1, 2], [3, 4]]]), f32([[[5, 6], [7, 8]]]))
    assert output.array.tolist() == expected
    assert output.mask is None


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("Add", [6, 6, 6]),
        ("Multiply", [6, 0, -12]),
        ("Average", [2, 2, 2]),
        ("Maximum", [3, 6, 4]),
        ("Minimum", [1, 0, -1]),
    ],
)
def test_a_merging_layer_combines_number_by_number(class_name: str, expected: list[float]) -> None:
    output = apply(make(class_name), f32([[1, 6, 4]]), f32([[2, 0, 3]]), f32([[3, 0, -1]]))
    assert output.array.tolist() == [expected]


def test_subtract_takes_the_second_from_the_first() -> None:
    assert apply(make("Subtract"), f32([[5, 1]]), f32([[2, 4]])).array.tolist() == [[3, -3]]


@pytest.mark.parametrize(
    ("merges_masks", "masks", "expected"),
    [
        ("all", [MASK, MASK], [[4, 4, 4], [4, 4, 4]]),
        ("none", [MASK, None], [[4, 4, 4], [4, 4, 4]]),
        ("any", [None, None], [[4, 4, 4], [4, 4, 4]]),
        ("any", [MASK, None], [[4, 4, 2], [4, 2, 2]]),
        ("any", [MASK, MASK], [[4, 4, 0], [4, 0, 0]]),
        ("any", [MASK, ~MASK], [[2, 2, 2], [2, 2, 2]]),
    ],
)
def test_a_masked_step_counts_as_1_in_a_product_since_masks_merge_by_any(
    merges_masks: str, masks: list[Any], expected: list[Any]
) -> None:
    layer = merging("Multiply", merges_masks)
    twos = f32(np.full((2, 3, 1), 2))
    assert apply(layer, twos, twos, masks=masks).array[..., 0].tolist() == expected


@pytest.mark.parametrize(
    ("merges_masks", "masks", "expected"),
    [
        ("all", [MASK, MASK], [[2, 2, 2], [2, 2, 2]]),
        ("any", [MASK, None], [[2, 2, 1], [2, 1, 1]]),
        ("any", [None, MASK], [[2, 2, 2], [2, 2, 2]]),
        ("any", [MASK, ~MASK], [[2, 2, 1], [2, 1, 1]]),
    ],
)
def test_a_masked_step_gives_way_in_a_maximum_since_masks_merge_by_any(
    merges_masks: str, masks: list[Any], expected: list[Any]
) -> None:
    layer = merging("Maximum", merges_masks)
    twos, ones = f32(np.full((2, 3, 1), 2)), f32(np.ones((2, 3, 1)))
    assert apply(layer, twos, ones, masks=masks).array[..., 0].tolist() == expected


def test_a_merging_layer_broadcasts() -> None:
    output = apply(make("Add"), f32([[[1, 2], [3, 4]]]), f32([[[10], [20]]]))
    assert output.array.tolist() == [[[11, 12], [23, 24]]]


def test_average_is_of_the_compute_dtype() -> None:
    layer = make("Average", dtype="float16")
    assert apply(layer, f32([[1]]), f32([[2]])).array.dtype == "float16"


@pytest.mark.parametrize(
    ("merge_mode", "expected"),
    [
        ("concat", [[[1, 10], [2, 20], [3, 30]]]),
        ("sum", [[[11], [22], [33]]]),
        ("ave", [[[5.5], [11], [16.5]]]),
        ("mul", [[[10], [40], [90]]]),
    ],
)
def test_bidirectional_merges_its_directions_timestep_by_timestep(
    merge_mode: str, expected: list[Any]
) -> None:
    layer = directions(merge_mode)
    output = apply(
        layer,
        f32([[[1], [2], [3]]]),
        f32([[[10], [20], [30]]]),
        masks=[[[True, True, False]], [[True, True, False]]],
    )
    assert output.array.tolist() == expected
    assert output.mask is not None
    assert output.mask.tolist() == [[True, True, False]]


def test_bidirectional_merges_last_outputs_as_they_are() -> None:
    output = apply(directions(), f32([[1, 2]]), f32([[3, 4]]))
    assert output.array.tolist() == [[1, 2, 3, 4]]


def test_bidirectional_gives_both_sequences_if_it_does_not_merge() -> None:
    layer = directions(None)
    forward, backward = form(layer).apply(
        layer, [Value(f32([[[1], [2]]])), Value(f32([[[3], [4]]]))]
    )
    assert forward.array.tolist() == [[[1], [2]]]
    assert backward.array.tolist() == [[[3], [4]]]


@pytest.mark.parametrize(
    ("name", "args", "params", "expected"),
    [
        ("NotEqual", [f32([[0, 1], [0, 0]]), 0.0], {}, [[False, True], [False, False]]),
        ("Any", [np.array([[False, True], [False, False]])], {"axis": -1}, [True, False]),
        (
            "Any",
            [np.array([[False, True], [False, False]])],
            {"axis": [-1], "keepdims": True},
            [[True], [False]],
        ),
        ("Subtract", [1.0, f32([0.25])], {}, [0.75]),
        ("Mean", [f32([[1, 3], [5, 7]])], {"axis": 1, "keepdims": False}, [2, 6]),
        ("Transpose", [f32([[1, 2]])], {"axes": [1, 0]}, [[1], [2]]),
        ("Concatenate", [[f32([1]), f32([2])]], {"axis": 0}, [1, 2]),
        ("Reshape", [f32([[1, 2]])], {"newshape": [-1, 1]}, [[1], [2]]),
        ("Where", [np.array([True, False]), f32([1, 2]), 0.0], {}, [1, 0]),
        ("Relu", [f32([-1, 2])], {}, [0, 2]),
        ("Softmax", [f32([[0, 0], [0, 0]])], {"axis": [0, 1]}, [[0.25, 0.25], [0.25, 0.25]]),
        ("Max", [f32([[1, 3], [5, 7]])], {"axis": 1, "initial": 4}, [4, 7]),
        ("Min", [f32([[1, 3], [5, 7]])], {"axis": 1, "initial": 4}, [1, 4]),
        ("Stack", [[f32([1]), f32([2])]], {}, [[1], [2]]),
        ("Concatenate", [[f32([1]), f32([2])]], {}, [1, 2]),
        ("Mean", [np.array([[1, 2]])], {"axis": -1}, [1.5]),
        ("Divide", [np.array([1]), 2], {}, [0.5]),
        ("Cast", [f32([1.00390625])], {"dtype": "bfloat16"}, [1]),
        ("Add", [f32([1])], {"x2": 2}, [3]),
    ],
    ids=str,
)
def test_an_operation_is_what_keras_ops_computes(
    name: str, args: list[Any], params: dict[str, Any], expected: list[Any]
) -> None:
    function = operation_of(operation(name), args, params)
    assert function is not None
    assert function(args, params).tolist() == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (
            [
                {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}},
                -1,
            ],
            [2, 4],
        ),
        ([{"start": 1, "stop": None, "step": None}], [[3, 4]]),
        ([{"class_name": "__ellipsis__", "config": {}}, 0], [1, 3]),
        (0, [1, 2]),
    ],
    ids=str,
)
def test_an_index_is_read_as_either_keras_writes_it(key: Any, expected: list[Any]) -> None:
    args = [f32([[1, 2], [3, 4]]), read_index(key)]
    function = operation_of(operation("GetItem"), args, {})
    assert function is not None
    assert function(args, {}).tolist() == expected


@pytest.mark.parametrize(
    ("name", "args", "params"),
    [
        pytest.param("Sum", [f32([1])], {"initial": 4}, id="parameter"),
        pytest.param("Softmax", [f32([1])], {"axis": 0, "temperature": 2}, id="one-of-two"),
        pytest.param("Exp", [f32([1]), f32([2])], {}, id="argument"),
        pytest.param("Add", [f32([1])], {}, id="missing-argument"),
        pytest.param("Cast", [f32([1])], {"dtype": "string"}, id="dtype"),
        pytest.param("Bincount", [f32([1])], {}, id="operation"),
    ],
)
def test_what_an_operation_does_not_know_is_not_ignored(
    name: str, args: list[Any], params: dict[str, Any]
) -> None:
    assert operation_of(operation(name), args, params) is None
    assert operation_of(operation(name, **params), args, {}) is None


def test_a_layer_and_an_operation_of_one_name_are_told_apart() -> None:
    assert operation_of(make("Add"), [1, 2], {}) is None
    assert form_of(operation("Add"), {}) is None


@pytest.mark.parametrize(
    ("class_name", "settings"),
    [
        ("ActivityRegularization", {"l1": 0.5}),
        ("AlphaDropout", {"rate": 0.5}),
        ("Dropout", {"rate": 0.5}),
        ("GaussianDropout", {"rate": 0.5}),
        ("GaussianNoise", {"stddev": 0.5}),
        ("SpatialDropout1D", {"rate": 0.5}),
    ],
)
def test_a_layer_that_acts_in_training_only_passes_on_what_it_gets(
    class_name: str, settings: dict[str, Any]
) -> None:
    x = random(2, 3, 2)
    output = apply(make(class_name, **settings), x, masks=[MASK])
    np.testing.assert_array_equal(output.array, x)
    assert output.mask is MASK


@pytest.mark.parametrize(("dialect", "keeps"), [(KERAS_2, False), (KERAS_3, True)])
def test_an_identity_keeps_its_mask_since_keras_3(dialect: Dialect, keeps: bool) -> None:
    output = apply(make("Identity", dialect=dialect), random(2, 3, 2), masks=[MASK])
    assert output.mask is (MASK if keeps else None)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (make("Dense", [f32([[1], [2]])], units=1), [[4]]),
        (make("LeakyReLU", alpha=0.5), [[2, 1]]),
        (make("Add", dialect=KERAS_3), [[2.5, 1.5]]),
        (make("Concatenate", dialect=KERAS_3), [[2, 1, 0.5]]),
    ],
    ids=described,
)
def test_whole_numbers_become_float32_and_not_float64(
    layer: Layer, expected: Any, dtype: str
) -> None:
    others = [f32([[0.5]])] if isinstance(layer.options, (Merge, Concatenate)) else []
    output = apply(layer, np.array([[2, 1]], dtype), *others)
    assert output.array.dtype == "float32"
    assert output.array.tolist() == expected


def test_what_renorm_needs_in_training_is_no_mean_and_no_variance() -> None:
    gamma, beta, mean, variance = f32([2]), f32([1]), f32([3]), f32([4])
    arrays = [gamma, beta, mean, variance, f32([9]), f32([9]), f32([9])]
    layer = make("BatchNormalization", arrays, renorm=True, epsilon=0.0, dialect=KERAS_3)
    assert apply(layer, f32([[5]])).array.tolist() == [[3]]


def test_a_batch_normalization_of_keras_2_may_have_several_axes() -> None:
    mean, variance = f32([[1, 2], [3, 4]]), f32(np.ones((2, 2)))
    layer = make(
        "BatchNormalization", [mean, variance], axis=[1, 2], scale=False, center=False, epsilon=0.0
    )
    assert apply(layer, f32([[[1, 2], [3, 5]]])).array.tolist() == [[[0, 0], [0, 1]]]


def test_a_merge_puts_new_axes_behind_the_batch() -> None:
    vectors, sequences = f32([[1, 2], [3, 4]]), f32(np.zeros((2, 3, 2)))
    output = apply(make("Add"), vectors, sequences)
    assert output.array.tolist() == [[[1, 2]] * 3, [[3, 4]] * 3]


def test_masking_may_have_a_value_for_each_feature() -> None:
    written = {"class_name": "__numpy__", "config": {"value": [7.0, 1.0], "dtype": "float32"}}
    output = apply(make("Masking", mask_value=written), f32([[[7, 1], [7, 7]]]))
    assert output.mask is not None
    assert output.mask.tolist() == [[False, True]]


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_padding_does_not_count_in_an_average_and_nan_does(padding: str) -> None:
    layer = make("AveragePooling1D", pool_size=2, strides=1, padding=padding)
    output = apply(layer, f32([[[2], [4], [np.nan], [8]]])).array[0, :, 0]
    expected = [3, np.nan, np.nan] + [8] * (padding == "same")
    np.testing.assert_array_equal(output, f32(expected))


@pytest.mark.parametrize(
    ("layer", "given", "expected"),
    [
        (make("LeakyReLU", alpha=0.5), [[-2, 4]], [[-1, 4]]),
        (make("LeakyReLU", alpha={"type": "ndarray", "value": 0.5}), [[-2, 4]], [[-1, 4]]),
        (make("GlobalAveragePooling1D"), [[[1, 2], [3, 6]]], [[2, 4]]),
        (
            make("LayerNormalization", [f32([2, 4]), f32([1, 1])], epsilon=0.0),
            [[[1, 3], [5, 1]]],
            [[[-1, 5], [3, -3]]],
        ),
    ],
    ids=["leaky", "leaky-ndarray", "average", "normalization"],
)
def test_a_layer_that_is_common_in_front_needs_no_keras(
    layer: Layer, given: Any, expected: Any
) -> None:
    np.testing.assert_allclose(apply(layer, f32(given)).array, expected, rtol=1e-6)


def test_masked_steps_do_not_count_in_a_global_average() -> None:
    x = f32([[[1], [3], [100]], [[5], [7], [9]]])
    output = apply(make("GlobalAveragePooling1D"), x, masks=[MASK])
    assert output.array.tolist() == [[2], [5]]
    assert output.mask is None


# --- masks


@pytest.mark.parametrize(
    ("layer", "passes"),
    [
        (make("Activation", activation="relu"), True),
        (make("Dropout"), True),
        (make("Flatten"), False),
        (make("Permute", dims=[2, 1]), False),
        (make("Reshape", target_shape=[6]), False),
    ],
    ids=described,
)
def test_a_mask_goes_on_where_time_stays_in_its_place(layer: Layer, passes: bool) -> None:
    output = apply(layer, random(2, 3, 2), masks=[MASK])
    assert (output.mask is not None) == passes


@pytest.mark.parametrize(
    ("keras_version", "other_is_masked", "expected"),
    [
        # keras 2.15.0, layers/merging: all of the masks that the inputs have.
        ("2.15.0", True, [True, False, False, False]),
        ("2.15.0", False, [True, False, True, False]),
        # keras 3.0.5 and 3.3.3 give no mask to a layer with several inputs.
        ("3.0.5", True, [True] * 4),
        ("3.0.5", False, [True] * 4),
        # keras 3.6.0 and later: any of the masks, and none if one is missing.
        ("3.15.1", True, [True, True, True, False]),
        ("3.15.1", False, [True] * 4),
    ],
)
@pytest.mark.parametrize("class_name", ["Add", "Average", "Concatenate"])
def test_masks_are_merged_as_the_keras_that_saved_the_model_does(
    class_name: str,
    keras_version: str,
    other_is_masked: bool,
    expected: list[bool],
    tmp_path: Path,
) -> None:
    other = "y_masked" if other_is_masked else "y"
    config = functional(
        input_layer("x", 4, 1),
        input_layer("y", 4, 1),
        entry("Masking", "x_masked", "x", mask_value=0.0),
        entry("Masking", "y_masked", "y", mask_value=0.0),
        entry(class_name, "merged", ["x_masked", other]),
        lstm("lstm", 1, "merged"),
        inputs=["x", "y"],
        outputs=["lstm"],
    )
    features = 2 if class_name == "Concatenate" else 1
    path = write_h5(
        tmp_path / "model.h5",
        config,
        {"lstm": lstm_weights("lstm", features, 1)},
        keras_version=keras_version,
    )
    inputs = {"x": f32([[[1], [0], [1], [0]]]), "y": f32([[[1], [1], [0], [0]]])}
    trace = lstm_inspect.trace(lstm_inspect.open_model(path), inputs, record="mask")
    assert trace["lstm"].mask.tolist() == [expected]


# --- shapes

CASES = [
    (make("Masking", mask_value=0.0), [(2, 3, 4)]),
    (make("Embedding", [random(9, 5)], output_dim=5), [(2, 3)]),
    (make("Dense", [random(4, 5)], units=5), [(2, 3, 4)]),
    (make("Activation", activation="tanh"), [(2, 3, 4)]),
    (make("RepeatVector", n=5), [(2, 3)]),
    (make("Reshape", target_shape=[6, 2]), [(2, 3, 4)]),
    (make("Reshape", target_shape=[-1, 2]), [(2, 3, 4)]),
    (make("Flatten"), [(2, 3, 4)]),
    (make("Permute", dims=[2, 1]), [(2, 3, 4)]),
    (make("Concatenate", axis=-1), [(2, 3, 4), (2, 3, 5)]),
    (make("Concatenate", axis=1), [(2, 3, 4), (2, 5, 4)]),
    (make("Add"), [(2, 3, 4), (2, 3, 4)]),
    (make("Add", name="broadcast"), [(2, 3, 1), (2, 3, 4)]),
    (make("Average"), [(2, 3, 4), (2, 3, 4)]),
    (make("Average", name="of two ranks"), [(2, 4), (2, 3, 4)]),
    (make("Dropout"), [(2, 3, 4)]),
    (directions("concat"), [(2, 3, 4), (2, 3, 4)]),
    (directions("sum"), [(2, 3, 4), (2, 3, 4)]),
]


@pytest.mark.parametrize(
    ("layer", "shapes"),
    CASES,
    ids=described,
)
def test_the_shape_a_layer_states_is_the_shape_it_gives(
    layer: Layer, shapes: list[tuple[int, ...]]
) -> None:
    inputs = [np.abs(random(*shape)) for shape in shapes]
    assert form(layer).shape(layer.options, shapes) == apply(layer, *inputs).array.shape


@pytest.mark.parametrize(
    ("layer", "shapes", "expected"),
    [
        (make("Dense", units=5), [(None, None, 4)], (None, None, 5)),
        (make("RepeatVector", n=5), [(None, 3)], (None, 5, 3)),
        (make("Reshape", target_shape=[-1, 2]), [(None, None, 4)], (None, None, 2)),
        (make("Flatten"), [(None, None, 4)], (None, None)),
        (make("Permute", dims=[2, 1]), [(None, None, 4)], (None, 4, None)),
        (make("Concatenate"), [(None, None, 4), (None, None, 5)], (None, None, 9)),
        (make("Concatenate", axis=1), [(None, None, 4), (None, 3, 4)], (None, None, 4)),
        (directions(), [(None, None, 4)] * 2, (None, None, 8)),
    ],
    ids=described,
)
def test_a_size_left_open_stays_open(
    layer: Layer, shapes: list[tuple[int | None, ...]], expected: tuple[int | None, ...]
) -> None:
    assert form(layer).shape(layer.options, shapes) == expected


# --- dtypes, and layers without a form


def test_a_layer_computes_in_its_own_dtype() -> None:
    layer = make("Dense", [f32([[1]])], units=1, dtype="float16")
    assert apply(layer, np.array([[1.0]])).array.dtype == "float16"


def test_indices_are_no_floats_to_be_rounded() -> None:
    table = f32(np.arange(4099).reshape(-1, 1))
    layer = make("Embedding", [table], output_dim=1, dtype="float16")
    assert apply(layer, np.array([[2049]])).array.item() == 2048  # the nearest float16


@pytest.mark.parametrize(
    ("layer", "kwargs"),
    [
        pytest.param(make("Lambda"), {}, id="unknown"),
        pytest.param(
            make("Dense", [np.ones((1, 1), "int8"), f32([1])], units=1), {}, id="quantized"
        ),
        pytest.param(make("Activation", activation="custom:mine"), {}, id="own-activation"),
        pytest.param(
            make("Dense", [f32([[1]])], units=1, activation={"class_name": "Own"}),
            {},
            id="activation-layer",
        ),
        pytest.param(make("Add"), {"scale": Ref("other")}, id="further-tensor"),
    ],
)
def test_what_numpy_cannot_do_exactly_has_no_form(layer: Layer, kwargs: dict[str, Any]) -> None:
    assert form_of(layer, kwargs) is None


@pytest.mark.parametrize("kwargs", [{}, {"training": False}, {"training": None}], ids=str)
def test_dropout_at_inference_has_a_form(kwargs: dict[str, Any]) -> None:
    assert form_of(make("Dropout", rate=0.5), kwargs) is not None


def test_a_mask_that_is_handed_over_does_not_cost_a_layer_its_form() -> None:
    assert form_of(make("Activation", activation="relu"), {"mask": Ref("any")}) is not None


def test_the_documents_list_every_layer_that_runs_in_front() -> None:
    start, end = "<!-- layers -->\n", "<!-- end of layers -->\n"
    document = Path(__file__).parents[1] / "docs" / "formats.md"
    head, rest = document.read_text(encoding="utf-8").split(start)
    tail = rest.split(end)[1]
    rows = {
        "layers in NumPy": READERS,
        "operations in NumPy": FUNCTIONS,
        "layers in genuine Keras": BUILT_IN - READERS.keys(),
        "operations in genuine Keras": OPERATIONS.keys() - FUNCTIONS.keys(),
    }
    table = "| | |\n|---|---|\n" + "".join(
        f"| {where} | {', '.join(sorted(names))} |\n" for where, names in rows.items()
    )
    if os.environ.get("UPDATE_GOLDEN"):
        document.write_text(head + start + table + end + tail, encoding="utf-8")
    assert document.read_text(encoding="utf-8") == head + start + table + end + tail
