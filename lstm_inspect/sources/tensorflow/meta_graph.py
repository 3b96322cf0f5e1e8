"""Reads what the graph beside a checkpoint says of a cell: its activation, forget_bias and clips.

A Saver writes the graph to ``model.meta``. Nothing in it runs. The variables of a cell are followed
to the operations that read them, and these have to be those of the cell, one after the other. What
is another operation, such as that of an activation of somebody's own, says nothing.

Layout: tensorflow 2.15.0, core/protobuf/meta_graph.proto, core/framework/node_def.proto,
attr_value.proto and tensor.proto.
"""

import math
import re
import struct
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.cells import GRU, TF_LSTM
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.protobuf import Message, read_varint
from lstm_inspect.sources.tensorflow.cell_variables import TfCell

_PASSED = ("Identity", "Enter", "ReadVariableOp")
_ADDS = ("Add", "AddV2", "BiasAdd")
_SPLITS = ("Split", "SplitV")
_BLOCKS = ("LSTMBlockCell", "BlockLSTM")
_CLIPS = ("Minimum", "ClipByValue")
_ACTIVATIONS = {
    "Elu": "elu",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}
_I, _J, _F, _O = range(4)  # the blocks of an LSTM
_CLIP_OF_BLOCKS = 3.0  # if a block does not state its clip (core/ops/rnn_ops.cc)

# What reads the h of a loop or of an unrolled one, and computes nothing.
_CARRIES = frozenset(
    {
        *("NextIteration", "TensorArrayWriteV3", "Select", "SelectV2", "ConcatV2", "Pack", "Exit"),
        *("MatMul", "Shape", "StackPushV2"),
    }
)
_OF_GRADIENTS = re.compile(r"(.*/)?gradients(_\d+)?/.*")

_Tensor = tuple[str, int]
"""The name of an operation, and the number of its output."""


class _Node(NamedTuple):
    name: str
    op: str
    inputs: tuple[tuple[str, int], ...]
    attributes: dict[str, Message]


class MetaGraph:
    """The graph of a Saver.

    Args:
        data: The bytes of the ``.meta``.
        what: What to call it in errors.
        limits: How many operations it may have.

    Raises:
        ModelFileError: It is damaged.
        LimitError: It has more operations than a limit allows.
    """

    def __init__(self, data: bytes, what: str, limits: Limits) -> None:
        self._what = what
        nodes = Message(data, what).message(2).messages(1)
        if not nodes:
            raise ModelFileError(f"{what}: damaged (it has no graph)")
        limits.check("checkpoint_objects", len(nodes), what)
        self._nodes: dict[str, _Node] = {}
        self._readers: dict[tuple[str, int], list[_Node]] = defaultdict(list)
        for message in nodes:
            node = _node(message, what)
            if node.name in self._nodes:
                raise ModelFileError(f"{what}: damaged (two operations are called {node.name})")
            self._nodes[node.name] = node
            for place in node.inputs:
                self._readers[place].append(node)

    def facts_of(self, cell: TfCell) -> dict[str, Any]:
        """What the graph says of a cell, by the names of activations and options.

        What the graph does not show is left out. If it uses the cell in two ways, that is all.

        Raises:
            ModelFileError: A constant that the cell reads is damaged.
        """
        part = f"{cell.scope}/candidate" if cell.kind is GRU else cell.scope
        products = [node for node in self._reading(part) if node.op in ("MatMul", *_BLOCKS)]
        steps = {TF_LSTM: self._lstm, GRU: self._gru}
        read = steps.get(cell.kind, self._rnn)
        found = [facts for node in products if (facts := read(cell, node))]
        return found[0] if found and all(facts == found[0] for facts in found) else {}

    def reads_h(self, cell: TfCell, below: TfCell) -> bool:
        """Whether the x of a cell is the h of the cell below it, with nothing in between."""
        part = f"{cell.scope}/gates" if cell.kind is GRU else cell.scope
        read = [
            self._nodes.get(self._source(product.inputs[0][0]))
            for product in self._reading(part)
            if product.op == "MatMul" and product.inputs
        ]
        joined = [node for node in read if node is not None and node.op == "ConcatV2"]
        sources = [self._nodes.get(self._source(node.inputs[0][0])) for node in joined]
        return bool(sources) and all(
            node is not None and self._is_h(node, below) for node in sources
        )

    def _is_h(self, node: _Node, cell: TfCell) -> bool:
        """Whether a node gives the h of a cell of that kind: the last operation of a step."""
        read = {each.op for each in self._nodes_of(self._sources(node))}
        if cell.kind is TF_LSTM:
            is_gated = node.op == "Mul" and "Sigmoid" in read
            is_projected = "projection" in cell.weights and node.op in ("MatMul", "Maximum")
            return is_gated or is_projected or node.op in (*_BLOCKS, "ClipByValue")
        if cell.kind is GRU:
            return node.op in _ADDS and read == {"Mul"}
        return node.op in _ACTIVATIONS

    def _lstm(self, cell: TfCell, product: _Node) -> dict[str, Any]:
        if product.op in _BLOCKS:
            clip = _attribute(product, "cell_clip", _CLIP_OF_BLOCKS)
            bias = _attribute(product, "forget_bias", 1.0)
            facts = {"activation": "tanh", "cell_clip": clip if clip > 0 else None}
            return {
                **facts,
                "proj_clip": None,
                **({} if math.isnan(bias) else {"forget_bias": bias}),
            }
        split = self._only_after(self._only_after(product, _ADDS), _SPLITS)
        if split is None:
            return {}
        facts, biased = {}, self._only_after(split, _ADDS, _F)
        gate_i, gate_o = self._gate(split, _I), self._gate(split, _O)
        gate_f = self._gate(biased, 0) if biased else None
        if biased is None or gate_i is None or gate_f is None or gate_o is None:
            return {}
        biases = [self._constant(name) for name, _ in biased.inputs]
        if (known := [each for each in biases if each is not None]) and len(known) == 1:
            facts["forget_bias"] = known[0]
        activation, gated = self._activation((split.name, _J), [gate_i.name])
        if gated is None:
            return facts
        c = self._only_after(gated, _ADDS)
        kept = c is not None and any(
            gate_f.name in self._sources(node) for node in self._nodes_of(self._sources(c))
        )
        if c is None or not kept:
            return facts
        has_clip, c_clip, c = self._clipped(c)
        if not has_clip or c_clip is not None:
            facts["cell_clip"] = c_clip
        on_the_way, emitted = self._activation((c.name, 0), [gate_o.name])
        if emitted is None or on_the_way != activation:
            return facts
        facts["activation"] = activation
        if cell.kind is TF_LSTM and "projection" in cell.weights:
            projected = self._only_after(emitted, ("MatMul",))
            if projected is None:
                return facts
            has_clip, most, _ = self._clipped(projected)
            if not has_clip or most is not None:
                facts["proj_clip"] = most
        else:
            facts["proj_clip"] = None
        return facts

    def _gru(self, cell: TfCell, product: _Node) -> dict[str, Any]:
        """The candidate is multiplied with 1 - u, the only difference in a GRU."""
        added = self._only_after(product, _ADDS)
        if added is None:
            return {}
        differences = {name for name, node in self._nodes.items() if node.op == "Sub"}
        activation, gated = self._activation((added.name, 0), differences)
        return {} if gated is None else {"activation": activation}

    def _rnn(self, cell: TfCell, product: _Node) -> dict[str, Any]:
        """The activation gives h, which the next step reads as it is."""
        added = self._only_after(product, _ADDS)
        if added is None:
            return {}
        for node in self._readers_of(added.name, 0):
            readers = {each.op for each in self._readers_of(node.name, 0)}
            if node.op in _ACTIVATIONS and readers and readers <= _CARRIES:
                return {"activation": _ACTIVATIONS[node.op]}
        return {}

    def _gate(self, node: _Node, index: int) -> _Node | None:
        """The sigmoid of a block, perhaps behind the product of a peephole."""
        for reader in self._readers_of(node.name, index):
            if reader.op == "Sigmoid":
                return reader
            if reader.op in _ADDS and (gate := self._only_after(reader, ("Sigmoid",))):
                return gate
        return None

    def _activation(
        self, given: _Tensor, gates: Collection[str]
    ) -> tuple[str | None, _Node | None]:
        """The activation of a tensor, and the node that multiplies it with one of some gates.

        Both are None if something else stands between them.
        """
        for reader in self._readers_of(*given):
            if reader.op == "Mul" and not self._sources(reader).isdisjoint(gates):
                return "linear", reader
            if reader.op in _ACTIVATIONS:
                for product in self._readers_of(reader.name, 0):
                    if product.op == "Mul" and not self._sources(product).isdisjoint(gates):
                        return _ACTIVATIONS[reader.op], product
        return None, None

    def _clipped(self, node: _Node) -> tuple[bool, float | None, _Node]:
        """Whether a node is clipped, by how much if that is known, and the clip's last node."""
        for clip in self._readers_of(node.name, 0):
            if clip.op in _CLIPS:
                constants = [self._constant(name) for name, _ in clip.inputs[1:]]
                most = next((each for each in constants if each is not None and each > 0), None)
                return True, most, self._only_after(clip, ("Maximum",)) or clip
        return False, None, node

    def _reading(self, part: str) -> Iterator[_Node]:
        """The operations that read the kernel of a part; an early TensorFlow calls it weights."""
        for variable in (f"{part}/kernel", f"{part}/weights"):
            if variable in self._nodes:
                yield from self._readers_of(variable, 0)

    def _only_after(self, node: _Node | None, ops: Collection[str], index: int = 0) -> _Node | None:
        """The one reader of an output that is such an operation; None if there is not just one."""
        if node is None:
            return None
        found = [each for each in self._readers_of(node.name, index) if each.op in ops]
        return found[0] if len(found) == 1 else None

    def _sources(self, node: _Node) -> set[str]:
        """The operations that a node reads, past those that only hand on."""
        return {self._source(name) for name, _ in node.inputs}

    def _source(self, name: str) -> str:
        seen = set()
        while name in self._nodes and name not in seen:
            seen.add(name)
            node = self._nodes[name]
            if node.op not in _PASSED or not node.inputs:
                break
            name = node.inputs[0][0]
        return name

    def _nodes_of(self, names: Collection[str]) -> Iterator[_Node]:
        return (self._nodes[name] for name in names if name in self._nodes)

    def _readers_of(self, name: str, index: int) -> Iterator[_Node]:
        """The operations that read a tensor, through those that only hand it on."""
        waiting, seen = [(name, index)], {(name, index)}
        while waiting:
            for reader in self._readers.get(waiting.pop(), ()):
                if _OF_GRADIENTS.fullmatch(reader.name):
                    continue
                if reader.op not in _PASSED:
                    yield reader
                elif (reader.name, 0) not in seen:
                    seen.add((reader.name, 0))
                    waiting.append((reader.name, 0))

    def _constant(self, name: str) -> float | None:
        """The number that a constant is; None if the tensor is something else, or not finite."""
        node = self._nodes.get(self._source(name))
        if node is None or node.op != "Const" or "value" not in node.attributes:
            return None
        return _scalar(node.attributes["value"].message(8), self._what)


def _node(message: Message, what: str) -> _Node:
    inputs = []
    for raw in message.all_data(3):
        name, _, index = str(raw, "utf-8", "replace").partition(":")
        if len(index) > _LONGEST_INDEX or not (index.isdecimal() or not index):
            raise ModelFileError(f"{what}: damaged (an input of an operation is {index[:20]!r})")
        if not name.startswith("^"):  # an order, not a tensor
            inputs.append((name, int(index or 0)))
    attributes = {each.text(1): each.message(2) for each in message.messages(5)}
    return _Node(message.text(1), message.text(2), tuple(inputs), attributes)


_LONGEST_INDEX = 6


def _attribute(node: _Node, name: str, default: float) -> float:
    if name not in node.attributes:
        return default
    bits = struct.pack("<I", node.attributes[name].number(4) & 0xFFFFFFFF)
    return _rounded(struct.unpack("<f", bits)[0])


# core/framework/types.proto and tensor.proto: the dtype, and the field of single numbers.
_LAYOUTS = {1: ("<f4", 5), 2: ("<f8", 6), 19: ("<f2", None)}
_HALF_NUMBERS = 13


def _scalar(tensor: Message, what: str) -> float | None:
    """The number in a tensor of one finite float; None for anything else."""
    layout = _LAYOUTS.get(tensor.number(1))
    if layout is None or tensor.message(2).messages(2):
        return None
    dtype, field = np.dtype(layout[0]), layout[1]
    content = bytes(tensor.data(4))
    if not content and field is not None:
        content = tensor.packed(field, dtype.itemsize)
    elif not content:
        content = (_half(tensor, what) & 0xFFFF).to_bytes(2, "little")
    if len(content) != dtype.itemsize:
        return None
    value = float(np.frombuffer(content, dtype)[0])
    if not math.isfinite(value):
        return None
    return value if dtype.itemsize == 8 else _rounded(value)


def _half(tensor: Message, what: str) -> int:
    """The bits of a float16, which protobuf keeps as a number of variable length."""
    packed = tensor.packed(_HALF_NUMBERS, 8)
    if len(packed) == 8:
        return int.from_bytes(packed, "little")
    return read_varint(memoryview(packed), 0, what)[0] if packed else 0


def _rounded(value: float) -> float:
    """The shortest number that is the same in float32: 0.3, and not 0.30000001192092896."""
    return float(f"{value:.7g}")
