"""Reads what the graph beside a checkpoint says of a cell: its activation, forget_bias and clips.

A Saver writes the graph to ``model.meta``. Nothing in it runs. The variables of a cell are followed
to the operations that read them; the names of operations do not count, because a second cell gets
others.

Layout: tensorflow 2.15.0, core/protobuf/meta_graph.proto, core/framework/node_def.proto,
attr_value.proto and tensor.proto.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lstm_inspect.cells import GRU, TF_LSTM
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.protobuf import Message
from lstm_inspect.sources.tensorflow.cell_variables import TfCell

_PASSED = ("Identity", "Enter", "ReadVariableOp")
_ADDS = ("Add", "AddV2", "BiasAdd")
_SPLITS = ("Split", "SplitV")
_BLOCKS = ("LSTMBlockCell", "BlockLSTM")
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
_GATE_F, _GATE_J = 2, 1  # of the blocks i, j, f, o
_NO_CLIP = -1.0
_CLIP_OF_BLOCKS = 3.0  # if a block does not state its clip (core/ops/rnn_ops.cc)


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
        limits.check("checkpoint_objects", len(nodes), what)
        self._nodes: dict[str, _Node] = {}
        self._readers: dict[tuple[str, int], list[_Node]] = defaultdict(list)
        for message in nodes:
            node = _node(message)
            if node.name in self._nodes:
                raise ModelFileError(f"{what}: damaged (two operations are called {node.name})")
            self._nodes[node.name] = node
            for place in node.inputs:
                self._readers[place].append(node)

    def facts_of(self, cell: TfCell) -> dict[str, Any]:
        """What the graph says of a cell, by the names of activations and options.

        An activation that no cell of this package has is None. What the graph does not show is
        left out.

        Raises:
            ModelFileError: The graph uses the cell in two ways.
        """
        scope = cell.scope
        if cell.kind is TF_LSTM:
            found = [self._lstm(cell, node) for node in self._reading(f"{scope}/kernel")]
            found += [self._lstm(cell, node) for node in self._reading(f"{scope}/weights")]
        else:
            part = f"{scope}/candidate" if cell.kind is GRU else scope
            products = [*self._reading(f"{part}/kernel"), *self._reading(f"{part}/weights")]
            found = [self._one_activation(node) for node in products]
        facts = [each for each in found if each]
        if any(each != facts[0] for each in facts):
            raise ModelFileError(f"{self._what}: uses the cell {scope} in two ways")
        return facts[0] if facts else {}

    def _lstm(self, cell: TfCell, product: _Node) -> dict[str, Any]:
        """What a node says that reads the kernel of an LSTM; nothing if it is none of its steps."""
        if product.op in _BLOCKS:
            clip = _float(product.attributes.get("cell_clip"), _CLIP_OF_BLOCKS)
            return {
                "activation": "tanh",
                "forget_bias": _float(product.attributes.get("forget_bias"), 1.0),
                "cell_clip": None if clip == _NO_CLIP else clip,
                "proj_clip": None,
            }
        splits = [
            split for added in self._after(product, _ADDS) for split in self._after(added, _SPLITS)
        ]
        if product.op != "MatMul" or not splits:
            return {}
        (split, *_) = splits
        activation, candidate = self._activation(split, _GATE_J)
        facts: dict[str, Any] = {"activation": activation}
        for added in self._after(split, _ADDS, _GATE_F):
            for name, _ in added.inputs:
                if (bias := self._constant(name)) is not None:
                    facts["forget_bias"] = bias
        gated = self._after(candidate, ("Mul",), _GATE_J if candidate is split else 0)
        cells = [c for node in gated for c in self._after(node, _ADDS)]
        facts["cell_clip"] = self._clip(cells)
        facts["proj_clip"] = self._clip(
            node for node in self._reading(f"{cell.scope}/projection/kernel") if node.op == "MatMul"
        )
        return facts

    def _one_activation(self, product: _Node) -> dict[str, Any]:
        added = [*self._after(product, _ADDS)]
        return {"activation": self._activation(added[0])[0]} if added else {}

    def _activation(self, node: _Node, index: int = 0) -> tuple[str | None, _Node]:
        """The activation of an output, and the node that gives its result; None if unknown."""
        for reader in self._readers_of(node.name, index):
            if reader.op in _ACTIVATIONS:
                return _ACTIVATIONS[reader.op], reader
        is_linear = any(self._after(node, ("Mul",), index))
        return ("linear" if is_linear else None), node

    def _clip(self, nodes: Iterable[_Node]) -> float | None:
        """The largest number that a clip of one of some nodes lets through; None without a clip."""
        for node in nodes:
            for clip in self._after(node, ("Minimum", "ClipByValue")):
                for name, _ in clip.inputs[1:]:
                    most = self._constant(name)
                    if most is not None and most > 0:
                        return most
        return None

    def _reading(self, variable: str) -> Iterator[_Node]:
        if variable in self._nodes:
            yield from self._readers_of(variable, 0)

    def _after(self, node: _Node, ops: tuple[str, ...], index: int = 0) -> Iterator[_Node]:
        return (each for each in self._readers_of(node.name, index) if each.op in ops)

    def _readers_of(self, name: str, index: int) -> Iterator[_Node]:
        """The operations that read a tensor, through those that only hand it on."""
        waiting, seen = [(name, index)], {(name, index)}
        while waiting:
            for reader in self._readers.get(waiting.pop(), ()):
                if reader.name.startswith("gradients"):
                    continue
                if reader.op not in _PASSED:
                    yield reader
                elif (reader.name, 0) not in seen:
                    seen.add((reader.name, 0))
                    waiting.append((reader.name, 0))

    def _constant(self, name: str) -> float | None:
        """The number that a constant is; None if the tensor is something else."""
        seen = set()
        while name in self._nodes and name not in seen:
            seen.add(name)
            node = self._nodes[name]
            if node.op == "Const" and "value" in node.attributes:
                return _scalar(node.attributes["value"].message(8))
            if node.op not in _PASSED or not node.inputs:
                return None
            name = node.inputs[0][0]
        return None


def _node(message: Message) -> _Node:
    inputs = []
    for raw in message.all_data(3):
        name, _, index = str(raw, "utf-8", "replace").partition(":")
        if not name.startswith("^"):  # an order, not a tensor
            inputs.append((name, int(index) if index.isdecimal() else 0))
    attributes = {each.text(1): each.message(2) for each in message.messages(5)}
    return _Node(message.text(1), message.text(2), tuple(inputs), attributes)


def _float(attribute: Message | None, default: float) -> float:
    if attribute is None:
        return default
    (value,) = struct.unpack("<f", struct.pack("<I", attribute.number(4) & 0xFFFFFFFF))
    return _rounded(value)


def _scalar(tensor: Message) -> float | None:
    """The number in a tensor of one float32 or float64; None for anything else."""
    layout = {1: ("<f", 5), 2: ("<d", 6)}.get(tensor.number(1))
    if layout is None or tensor.message(2).messages(2):
        return None
    form, field = layout
    content = bytes(tensor.data(4)) or tensor.packed(field, struct.calcsize(form))
    if len(content) != struct.calcsize(form):
        return None
    (value,) = struct.unpack(form, content)
    return _rounded(value) if form == "<f" else float(value)


def _rounded(value: float) -> float:
    """The shortest number that is the same in float32: 0.3, and not 0.30000001192092896."""
    return float(f"{value:.7g}")
