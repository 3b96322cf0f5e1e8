"""The shape of what a layer gives, for layers that only Keras can run, from their configs.

A layer with a NumPy form says it there. These rules are for the other classes that the bridge runs,
and for settings of a class that its NumPy form does not have, such as ``channels_first``.

Source: keras 3.15.1 and tf_keras 2.21.0, ``compute_output_shape`` in the module of each layer under
layers/, unless a line says otherwise.
"""

from collections.abc import Callable, Sequence
from functools import partial

from lstm_inspect.cells import Moves
from lstm_inspect.model import Shape, flat_size, output_sizes
from lstm_inspect.sources.keras.layer_config import LayerConfig
from lstm_inspect.sources.keras.settings import unknown_settings

Rule = Callable[[LayerConfig, Sequence[Shape]], Shape | None]
Size = int | None


def output_shape_of(layer: LayerConfig) -> Callable[[Sequence[Shape]], Shape | None] | None:
    """What works out the shape of a layer's output from those of its inputs; None if nothing does.

    It returns None if the config does not tell the shape, and raises `ModelFileError` for a setting
    of a kind that Keras never writes.
    """
    rule = RULES.get(layer.class_name)
    if rule is None or layer.is_operation or unknown_settings(layer):
        return None
    return partial(rule, layer)


def _same(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    return shapes[0]


def _with_spatial(
    layer: LayerConfig, shape: Shape, resized: Callable[[Sequence[Size]], Shape], channels: Size
) -> Shape:
    """A shape with other spatial sizes and another number of channels, wherever they stand."""
    if _channels_first(layer):
        return (shape[0], channels, *resized(shape[2:]))
    return (shape[0], *resized(shape[1:-1]), channels)


def _channels_first(layer: LayerConfig) -> bool:
    return layer.choice("data_format", ("channels_last", "channels_first")) == "channels_first"


def _channels(layer: LayerConfig, shape: Shape) -> Size:
    return shape[1] if _channels_first(layer) else shape[-1]


def _moves(layer: LayerConfig, rank: int) -> Moves:
    padding = layer.choice("padding", ("valid", "same", "causal", "half"))
    strides, dilation = layer.sizes("strides", rank), layer.sizes("dilation_rate", rank)
    # A causal convolution pads in front as much as "same" pads at both ends.
    return Moves(strides, dilation, "same" if padding == "causal" else padding)


def _convolve(rank: int, layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    kernel_size = layer.sizes("kernel_size", rank)

    def resized(sizes: Sequence[Size]) -> Shape:
        return output_sizes(_moves(layer, rank), sizes, kernel_size)

    if layer.class_name.startswith("Depthwise"):
        channels = _channels(layer, shapes[0])
        filters = None if channels is None else channels * layer.size("depth_multiplier")
    else:
        filters = layer.size("filters")
    return _with_spatial(layer, shapes[0], resized, filters)


def _convolve_transposed(rank: int, layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    """The sizes of a transposed convolution.

    Source: keras 3.15.1, backend/common/backend_utils.py, ``_get_output_shape_given_tf_padding``.
    """
    strides = layer.sizes("strides", rank)
    spans = Moves(strides, layer.sizes("dilation_rate", rank), "valid").spans(
        layer.sizes("kernel_size", rank)
    )
    pads_same = layer.choice("padding", ("valid", "same")) == "same"
    added = layer.config.get("output_padding")
    extra = [None] * rank if added is None else _numbers(layer, "output_padding", rank)

    def length(size: Size, stride: int, span: int, more: Size) -> Size:
        if size is None:
            return None
        if more is None:
            return size * stride + (0 if pads_same else max(span - stride, 0))
        return (size - 1) * stride + span - (2 * (span // 2) if pads_same else 0) + more

    def resized(sizes: Sequence[Size]) -> Shape:
        return tuple(map(length, sizes, strides, spans, extra))

    return _with_spatial(layer, shapes[0], resized, layer.size("filters"))


def _pool(rank: int, layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    size, strides = layer.pooling(rank)
    moves = Moves(strides, (1,) * rank, layer.choice("padding", ("valid", "same")))
    channels = _channels(layer, shapes[0])
    return _with_spatial(layer, shapes[0], lambda sizes: output_sizes(moves, sizes, size), channels)


def _pool_all(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    channels = _channels(layer, shapes[0])
    if not layer.flag("keepdims"):
        return (shapes[0][0], channels)
    return _with_spatial(layer, shapes[0], lambda sizes: (1,) * len(sizes), channels)


def _pool_to_size(rank: int, layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    size = layer.sizes("output_size", rank)
    return _with_spatial(layer, shapes[0], lambda sizes: size, _channels(layer, shapes[0]))


def _flatten(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes = shapes[0]
    return (batch, flat_size(sizes))


def _pad(rank: int, sign: int, layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    """Each spatial axis gains (sign 1) or loses (sign -1) what the config says of its two ends."""
    key = "padding" if sign == 1 else "cropping"
    value = layer.config.get(key)
    if rank == 1:
        ends = [_numbers(layer, key, 2)]
    elif isinstance(value, list) and any(isinstance(each, list) for each in value):
        ends = [tuple(layer.whole(key, each) for each in pair) for pair in value]
    else:
        ends = [(each, each) for each in _numbers(layer, key, rank)]

    def resized(sizes: Sequence[Size]) -> Shape:
        return tuple(
            None if size is None else size + sign * sum(pair)
            for size, pair in zip(sizes, ends, strict=True)
        )

    return _with_spatial(layer, shapes[0], resized, _channels(layer, shapes[0]))


def _numbers(layer: LayerConfig, key: str, count: int) -> tuple[int, ...]:
    """So many whole numbers of the config; a single one applies to all."""
    value = layer.config.get(key)
    return layer.wholes(key) if isinstance(value, list) else (layer.whole(key, value),) * count


def _up_sample(rank: int, layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    factors = layer.sizes("size", rank, default=2)

    def resized(sizes: Sequence[Size]) -> Shape:
        return tuple(
            None if size is None else size * factor
            for size, factor in zip(sizes, factors, strict=True)
        )

    return _with_spatial(layer, shapes[0], resized, _channels(layer, shapes[0]))


def _resize(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    size = (layer.size("height"), layer.size("width"))
    return _with_spatial(layer, shapes[0], lambda sizes: size, _channels(layer, shapes[0]))


def _random_crop(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    """Keras 3 crops in training alone (keras 3.15.1, ``transform_images``)."""
    return shapes[0] if layer.dialect.keras == 3 else _resize(layer, shapes)


def _attend(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    query, value = shapes[:2]
    return (*query[:-1], value[-1])


def _attend_with_heads(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    key = "output_shape"
    given = layer.config.get(key)
    if given is None:
        return shapes[0]
    return (*shapes[0][:-1], *_numbers(layer, key, 1))


def _dot(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    one, other = shapes
    ours, theirs = _numbers(layer, "axes", 2)
    kept = (
        *(size for axis, size in enumerate(one) if axis != ours % len(one)),
        *(size for axis, size in enumerate(other) if axis not in (0, theirs % len(other))),
    )
    return (*kept, 1) if len(kept) == 1 else kept


def _einsum(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape | None:
    """An axis of the output is one of the input, or new; ``output_shape`` has the new ones."""
    read, _, written = str(layer.config.get("equation")).replace("...", "").partition("->")
    elided = str(layer.config.get("equation")).startswith("...")
    if "..." in str(layer.config.get("equation")) and not elided:
        return None
    labels = read.partition(",")[0]
    leading = len(shapes[0]) - len(labels)
    known = dict(zip(labels, shapes[0][leading:], strict=True))
    given = layer.config.get("output_shape")
    sizes = given if isinstance(given, list) else [given]
    new = dict(zip(reversed(written), reversed(sizes), strict=False))
    return (*shapes[0][:leading], *(known.get(each, new.get(each)) for each in written))


def _encode(depth_of: Callable[[LayerConfig], int | None]) -> Rule:
    """Makes the rule of a layer that gives indices, or vectors with one number for each index.

    In the mode ``one_hot`` each index gives a vector; in the others those along axis 1 give one
    (keras 3.15.1, utils/numerical_utils.py, ``encode_categorical_inputs``).
    """

    def rule(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape | None:
        shape, mode = shapes[0], layer.config.get("output_mode", "multi_hot")
        if mode == "int":
            return shape
        depth = depth_of(layer)
        if len(shape) < 2 or shape[-1] is None or depth is None:
            return None
        if mode != "one_hot":
            return (shape[0], *shape[2:], depth)
        return (*shape[:-1], depth) if shape[-1] == 1 else (*shape, depth)

    return rule


def _bins(layer: LayerConfig) -> int | None:
    boundaries = layer.config.get("bin_boundaries")
    return len(boundaries) + 1 if isinstance(boundaries, list) else None


def _tokens(layer: LayerConfig) -> int | None:
    key = "max_tokens" if layer.flag("pad_to_max_tokens") else "vocabulary_size"
    return None if layer.config.get(key) is None else layer.size(key)


def _reversible(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    return (*shapes[0], layer.size("output_dim"))


def _mel_spectrogram(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    batch, length = shapes[0]
    stride = layer.size("sequence_stride")
    frames = None if length is None else (length + stride + 1) // stride
    return (batch, layer.size("num_mel_bins"), frames)


def _stft_spectrogram(layer: LayerConfig, shapes: Sequence[Shape]) -> Shape:
    frame = layer.size("frame_length")
    step = frame // 2 if layer.config.get("frame_step") is None else layer.size("frame_step")
    # Without a length of its own, the transform takes the next power of two.
    is_given = layer.config.get("fft_length") is not None
    length = layer.size("fft_length") if is_given else 1 << (frame - 1).bit_length()
    bins = (length // 2 + 1) * (2 if layer.config.get("mode") == "stft" else 1)
    moves = Moves((step,), (1,), layer.choice("padding", ("valid", "same")))
    channels = _channels(layer, shapes[0])

    def frames(sizes: Sequence[Size]) -> Shape:
        return output_sizes(moves, sizes, (frame,))

    if layer.flag("expand_dims"):
        return _with_spatial(layer, shapes[0], lambda sizes: (*frames(sizes), bins), channels)
    return _with_spatial(layer, shapes[0], frames, None if channels is None else bins * channels)


def _same_for(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, _same)


RULES: dict[str, Rule] = {
    **_same_for("AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "Equalization"),
    **_same_for("ELU", "PReLU", "ReLU", "Softmax", "Solarization", "ThresholdedReLU"),
    **_same_for("GroupNormalization", "LayerNormalization", "Normalization", "RMSNormalization"),
    **_same_for("GroupedQueryAttention", "Rescaling", "UnitNormalization"),
    **{f"Conv{rank}D": partial(_convolve, rank) for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": partial(_convolve, rank) for rank in (1, 2)},
    **{f"LocallyConnected{rank}D": partial(_convolve, rank) for rank in (1, 2)},
    **{f"SeparableConv{rank}D": partial(_convolve, rank) for rank in (1, 2)},
    **{f"Conv{rank}DTranspose": partial(_convolve_transposed, rank) for rank in (1, 2, 3)},
    **{
        f"{how}Pooling{rank}D": partial(_pool, rank)
        for how in ("Average", "Max")
        for rank in (1, 2, 3)
    },
    **{f"Global{how}Pooling{rank}D": _pool_all for how in ("Average", "Max") for rank in (1, 2, 3)},
    **{
        f"Adaptive{how}Pooling{rank}D": partial(_pool_to_size, rank)
        for how in ("Average", "Max")
        for rank in (1, 2, 3)
    },
    **{f"ZeroPadding{rank}D": partial(_pad, rank, 1) for rank in (1, 2, 3)},
    **{f"Cropping{rank}D": partial(_pad, rank, -1) for rank in (1, 2, 3)},
    **{f"UpSampling{rank}D": partial(_up_sample, rank) for rank in (1, 2, 3)},
    **dict.fromkeys(("CenterCrop", "Resizing"), _resize),
    **dict.fromkeys(("AdditiveAttention", "Attention"), _attend),
    "CategoryEncoding": _encode(lambda layer: layer.size("num_tokens")),
    "Discretization": _encode(_bins),
    "Dot": _dot,
    "EinsumDense": _einsum,
    "Flatten": _flatten,
    "HashedCrossing": _encode(lambda layer: layer.size("num_bins")),
    "Hashing": _encode(lambda layer: layer.size("num_bins")),
    "IntegerLookup": _encode(_tokens),
    "MelSpectrogram": _mel_spectrogram,
    "MultiHeadAttention": _attend_with_heads,
    "RandomCrop": _random_crop,
    "ReversibleEmbedding": _reversible,
    "STFTSpectrogram": _stft_spectrogram,
}
"""For each class, what works out the shape of its output."""
