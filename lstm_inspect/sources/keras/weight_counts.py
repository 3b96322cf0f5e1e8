"""Counts the arrays of each built-in layer, for files that list arrays without their owner."""

import re
from collections.abc import Sequence

from lstm_inspect.sources.keras.layer_config import LayerConfig
from lstm_inspect.sources.keras.recurrences import cell_configs, kind_of
from lstm_inspect.sources.keras.settings import AUGMENTATIONS

_WEIGHTLESS = re.compile(
    r"""Activation|ActivityRegularization|Cropping[123]D|\w*Dropout[123]?D?|ELU|Flatten|GaussianNoise
    |(Global)?(Average|Max)Pooling[123]D|Identity|InputLayer|LeakyReLU|Masking|Merge|Permute|ReLU
    |Add|Average|Concatenate|Dot|Maximum|Minimum|Multiply|Subtract|RepeatVector|Rescaling|Reshape
    |RandomCrop|Softmax|UpSampling[123]D|ZeroPadding[123]D""",
    re.VERBOSE,
)
_KERNEL_AND_BIAS = re.compile(r"Dense|Conv[123]D(Transpose)?|Convolution[123]D|DepthwiseConv[12]D")


def cell_counts(cell: LayerConfig) -> tuple[int, int]:
    """How many trainable arrays and how many other arrays a recurrent cell has."""
    kind = kind_of(cell)
    count = 2 + cell.flag("use_bias", default=True) + 3 * ("peepholes" in kind.weights)
    if cell.dialect.keras == 1:
        count = 3 * max(1, len(kind.gates))
    return (count, 0) if cell.is_trained else (0, count)


def weight_counts(layer: LayerConfig) -> tuple[int, int] | None:
    """How many trainable arrays and other arrays a layer has; None if it is not built in."""
    if layer.is_model:
        members = [weight_counts(member) for member in layer.children("layers")]
    elif layer.merged_models:
        members = [weight_counts(model) for model in layer.merged_models]
    elif layer.class_name == "TimeDistributed":
        members = [weight_counts(layer.child("layer"))]
    elif layer.class_name == "Bidirectional":
        # Keras has none of other layers; to count both ways of nested ones takes 2**depth steps.
        if not cell_configs(layer.child("layer")):
            return None
        members = [weight_counts(layer.child("layer")), weight_counts(layer.backward_layer)]
    else:
        members = [_own_counts(layer)]
    known = [member for member in members if member is not None]
    if len(known) != len(members):
        return None
    trainable, others = _sum(known)
    return (trainable, others) if layer.is_trained else (0, trainable + others)


def _sum(counts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(trainable for trainable, _ in counts), sum(others for _, others in counts)


def _own_counts(layer: LayerConfig) -> tuple[int, int] | None:
    if layer.is_operation:
        return 0, 0
    if cells := cell_configs(layer):
        return _sum([cell_counts(cell) for cell in cells])
    if layer.class_name in AUGMENTATIONS or _WEIGHTLESS.fullmatch(layer.class_name):
        return 0, 0
    if _KERNEL_AND_BIAS.fullmatch(layer.class_name):
        return 1 + layer.flag("use_bias", default=True), 0
    if layer.class_name == "Embedding":
        return 1, 0
    if layer.class_name in ("BatchNormalization", "LayerNormalization"):
        affine = layer.flag("scale", default=True) + layer.flag("center", default=True)
        if layer.class_name == "LayerNormalization":
            return affine, 0
        return affine, 5 if layer.flag("renorm") else 2
    return None
