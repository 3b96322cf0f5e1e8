"""What the serving function of a SavedModel would run, read without TensorFlow.

Layout: tensorflow 2.15.0, core/protobuf/saved_model.proto, meta_graph.proto and
saved_object_graph.proto; core/framework/function.proto, node_def.proto and attr_value.proto.
"""

from collections.abc import Iterator

from lstm_inspect.files.protobuf import Message

SIGNATURE = "serving_default"
"""The name under which tf.keras saves the function that serves a model."""

_PURE = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AssignVariableOp AvgPool AvgPool3D BatchMatMul
    BatchMatMulV2 BatchToSpaceND BiasAdd BiasAddGrad BroadcastArgs BroadcastGradientArgs BroadcastTo
    Cast Ceil ClipByValue Concat ConcatOffset ConcatV2 Const Conv2D Conv3D CudnnRNN CudnnRNNBackprop
    CudnnRNNBackpropV2 CudnnRNNBackpropV3 CudnnRNNV2 CudnnRNNV3 Cumsum DepthwiseConv2dNative Div
    DivNoNan Einsum Elu EmptyTensorList EnsureShape Equal Erf Exp ExpandDims Expm1 Fill Floor
    FloorDiv FloorMod FusedBatchNorm FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual
    Identity IdentityN If InvertPermutation LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd
    LogicalNot LogicalOr MatMul Max MaxPool MaxPool3D Maximum Mean Min Minimum Mul Neg NoOp NotEqual
    OneHot OnesLike Pack Pad PadV2 PartitionedCall Placeholder Pow Prod Range Rank ReadVariableOp
    RealDiv Reciprocal Relu Relu6 ReluGrad Reshape ResourceGather ReverseSequence ReverseV2 Round
    Rsqrt Select SelectV2 Selu Shape ShapeN Sigmoid SigmoidGrad Sign Size Slice Softmax Softplus
    Softsign SpaceToBatchND Split SplitV Sqrt Square SquaredDifference Squeeze
    StatefulPartitionedCall StatelessIf StatelessWhile StopGradient StridedSlice StridedSliceGrad
    Sub Sum Tanh TanhGrad TensorListFromTensor TensorListGetItem TensorListLength TensorListPopBack
    TensorListPushBack TensorListReserve TensorListSetItem TensorListStack Tile Transpose Unpack
    Where While ZerosLike
    """.split()  # noqa: SIM905 - one name a line would fill pages
)
"""Operations that only compute: none reads or writes files, or runs code of another language.

Those that call functions, such as While, are pure if these functions are.
"""

_CHILDREN, _BARE_FUNCTION = 1, 8

# For objects with one of these fields TensorFlow runs code when it loads the model. It only puts
# the others together.
_ACTIVE = {
    5: "assets",
    10: "resources",
    11: "functions that restore objects",
    13: "registered classes",
    14: "objects in a form of their own",
    16: "savers of its own",
}


def why_not_served(saved_model: bytes, what: str) -> str | None:
    """Why the serving function must not be run, in one line; None if it only computes.

    Args:
        saved_model: The bytes of ``saved_model.pb``.
        what: What to call it in an error.

    Raises:
        ModelFileError: The bytes are damaged.
    """
    graphs = Message(saved_model, what).messages(2)
    if len(graphs) != 1:
        return f"it has {len(graphs)} graphs, expected 1"
    objects = graphs[0].message(7).messages(1)
    for number, name in _ACTIVE.items():
        if any(each.all_data(number) for each in objects):
            return f"it has {name}"
    children = [[child.text(2) for child in each.messages(_CHILDREN)] for each in objects]
    library = graphs[0].message(2).message(2).messages(1)
    functions = {each.message(1).text(1): each for each in library}
    if len(functions) != len(library) or any(len(set(own)) != len(own) for own in children):
        return "two of its functions or attributes have one name"
    served = _served(objects)
    if served is None:
        return f"it has no function {SIGNATURE}"
    strange = sorted(_operations(functions, served))
    return f"its function {SIGNATURE} runs {', '.join(strange)}" if strange else None


def _served(objects: list[Message]) -> str | None:
    """The name of the serving function: that of the child ``signatures`` of the root."""
    number = 0
    for name in ("signatures", SIGNATURE):
        children = {each.text(2): each.number(1) for each in objects[number].messages(_CHILDREN)}
        number = children.get(name, len(objects))
        if number >= len(objects):
            return None
    return objects[number].message(_BARE_FUNCTION).text(1) or None


def _operations(library: dict[str, Message], served: str) -> set[str]:
    """The operations that a function may run and that are not pure."""
    # TensorFlow may replace a function by another one that implements the same interface
    # (core/grappler/optimizers/implementation_selector.cc).
    interfaces: dict[str, list[str]] = {}
    for name, function in library.items():
        for interface in _interfaces(function):
            interfaces.setdefault(interface, []).append(name)
    found: set[str] = set()
    done: set[str] = set()
    waiting = [served]
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        if name not in library:
            found.add(name)
            continue
        for interface in _interfaces(library[name]):
            waiting += interfaces[interface]
        for node in library[name].messages(3):
            operation = node.text(2)
            if operation in library:
                waiting.append(operation)
            elif operation not in _PURE:
                found.add(operation)
            waiting += _called(node)
    return found


def _interfaces(function: Message) -> Iterator[str]:
    for attribute in function.messages(5):
        if attribute.text(1) == "api_implements":
            yield attribute.message(2).text(2)


def _called(node: Message) -> Iterator[str]:
    """The functions that the attributes of a node name."""
    for attribute in node.messages(5):
        value = attribute.message(2)
        for function in (*value.messages(10), *value.message(1).messages(9)):
            yield function.text(1)
