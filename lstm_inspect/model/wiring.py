"""Parts and the wiring of their config, written out as one flat list of calls."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats import SavedFile
from lstm_inspect.limits import Limits
from lstm_inspect.model.graph import (
    Argument,
    Call,
    Layer,
    Model,
    ModelInput,
    Recurrence,
    Ref,
    Shape,
    refs,
)
from lstm_inspect.model.layer_config import TF_OPERATION_CLASSES
from lstm_inspect.model.nodes import Node, Source, map_sources, read_node, read_sources, sources
from lstm_inspect.model.parts import (
    BidirectionalPart,
    InputPart,
    Member,
    MergedModelsPart,
    ModelPart,
    RecurrentPart,
    TimeDistributedPart,
)
from lstm_inspect.model.tf_operations import translate

Outputs = Callable[[int], Ref]
"""What a call gives: output number to tensor."""


def wire(model: ModelPart, file: SavedFile, limits: Limits) -> Model:
    """Writes a model out as calls, nested models and wrappers in place.

    Raises:
        ModelFileError: The wiring names a layer or a tensor that is not there.
        LimitError: It makes more calls than are granted: of models that call models that call ...
    """
    wiring = _Wiring(limits, str(file.path))
    wiring.call_model(model, prefix="", given=None)
    return Model(
        name=model.config.name, file=file, inputs=tuple(wiring.inputs), calls=tuple(wiring.calls)
    )


class _RecurrentArguments(NamedTuple):
    """What a recurrent layer is called on."""

    x: Ref
    states: tuple[Ref, ...]
    mask: Ref | None
    heeds_mask: bool
    input_shape: Shape | None


class _Wiring:
    def __init__(self, limits: Limits, what: str) -> None:
        self._limits = limits
        self._what = what
        self.inputs: list[ModelInput] = []
        self.calls: list[Call] = []
        self._folds = 0
        self._training = False

    def call_model(self, model: ModelPart, prefix: str, given: Argument | None) -> Outputs:
        """Writes out one call of a model.

        Args:
            model: The model.
            prefix: What to put in front of its layers' names.
            given: What it is called on: a tensor, or lists or a dict of them; None for the
                outermost model, whose inputs become the inputs of the graph.
        """
        if model.config.class_name == "Sequential":
            return self._call_sequential(model, prefix, given)
        return self._call_functional(model, prefix, given)

    def _call_sequential(self, model: ModelPart, prefix: str, given: Argument | None) -> Outputs:
        members = list(model.members.values())
        if not members:
            raise ModelFileError(f"model {model.config.name}: expected layers, received none")
        first = members[0].part
        if isinstance(first, MergedModelsPart):
            given = self._call_merged_models(first, members.pop(0).config.name)(0)
        elif given is None:
            given = self._declare(_sequential_input(members[0]))
        outputs = _outputs(list(refs(given)))
        for member in members:
            if not isinstance(member.part, InputPart):
                node = Node((outputs(0),), {}, None)
                outputs = self._apply(member, f"{prefix}{member.config.name}", node)
        return outputs

    def _call_merged_models(self, part: MergedModelsPart, path: str) -> Outputs:
        outputs = [
            self.call_model(model, "", None)(0)
            for model in part.models
            if isinstance(model, ModelPart)
        ]
        return self._add(path, part.merge, (outputs,), {}, None)

    def _call_functional(self, model: ModelPart, prefix: str, given: Argument | None) -> Outputs:
        config = model.config.config
        names = [source.layer for source in read_sources(config.get("input_layers"))]
        if given is None:
            bound = {name: self._declare(_functional_input(model, name)) for name in names}
        else:
            bound = _bind(model, given)
        results = read_sources(config.get("output_layers"))
        calls = _calls_of(model, results)
        paths = _paths_of(calls)
        done: dict[tuple[str, int], Outputs] = {
            (name, 0): _outputs([ref]) for name, ref in bound.items()
        }

        def resolve(source: Source) -> Ref:
            try:
                return done[source.layer, source.call](source.output)
            except (KeyError, IndexError):
                raise ModelFileError(
                    f"model {model.config.name}: its wiring names output {source.output} of call "
                    f"{source.call} of {source.layer}, which is not there"
                ) from None

        while calls:
            ready = [key for key, node in calls.items() if _reads_only(node, done)]
            if not ready:
                stuck = ", ".join(sorted({name for name, _ in calls}))
                raise ModelFileError(
                    f"model {model.config.name}: its wiring gives no order for {stuck:.120}"
                )
            for key in ready:
                node = calls.pop(key)
                args = tuple(map_sources(argument, resolve) for argument in node.args)
                resolved = node._replace(args=args, kwargs=map_sources(node.kwargs, resolve))
                member = model.members[key[0]]
                done[key] = self._apply(member, f"{prefix}{paths[key]}", resolved)
        return _outputs([resolve(source) for source in results])

    def _declare(self, model_input: ModelInput) -> Ref:
        self.inputs.append(model_input)
        return Ref(model_input.name)

    def _apply(self, member: Member, path: str, node: Node) -> Outputs:
        """Writes out one call of a layer whose arguments are resolved."""
        outer = self._training
        # In Keras 3 predict() has the last word, before that the call (keras 2.15.0 and 3.15.1).
        calls_in_training = node.kwargs.pop("training", None) is True
        self._training |= calls_in_training and member.config.dialect.keras < 3
        try:
            return self._write_out(member, path, node)
        finally:
            self._training = outer

    def _write_out(self, member: Member, path: str, node: Node) -> Outputs:
        match member.part:
            case ModelPart() as model:
                return self.call_model(model, f"{path}/", node.args[0] if node.args else [])
            case TimeDistributedPart(member=child):
                self._folds += 1
                outputs = self._apply(child, path, node)
                self._folds -= 1
                return outputs
            case BidirectionalPart() as part:
                return self._call_bidirectional(path, part, _recurrent_arguments(node, member))
            case RecurrentPart() as part:
                return self._call_recurrent(path, part, _recurrent_arguments(node, member))
            case Layer() as layer:
                if member.config.class_name in TF_OPERATION_CLASSES:
                    node = translate(layer.config.get("function"), node)
                return self._add(path, layer, node.args, node.kwargs, node.input_shape)
            case InputPart() | MergedModelsPart():
                raise ModelFileError(f"layer {path}: expected a layer that can be called here")

    def _call_recurrent(
        self, path: str, part: RecurrentPart, given: _RecurrentArguments
    ) -> Outputs:
        """Stacked cells run one after the other: what a cell does never depends on one above it."""
        x, states = given.x, list(given.states)
        shape = given.input_shape
        finals: list[Ref] = []
        for number, recurrence in enumerate(part.recurrences):
            count = len(recurrence.states)
            kwargs: dict[str, Argument] = {}
            if states:
                kwargs["initial_state"], states = tuple(states[:count]), states[count:]
            if given.mask is not None or not given.heeds_mask:
                kwargs["mask"] = given.mask
            own = path if len(part.recurrences) == 1 else f"{path}/{number}"
            outputs = self._add(own, recurrence, (x,), kwargs, shape)
            x, shape = outputs(0), None
            finals += [outputs(1 + state) for state in range(count)]
        return _outputs([x, *finals])

    def _call_bidirectional(
        self, path: str, part: BidirectionalPart, given: _RecurrentArguments
    ) -> Outputs:
        half = len(given.states) // 2
        forward = self._call_recurrent(
            f"{path}/forward", part.forward, given._replace(states=given.states[:half])
        )
        backward = self._call_recurrent(
            f"{path}/backward", part.backward, given._replace(states=given.states[half:])
        )
        merged = self._add(path, part.merge, (forward(0), backward(0)), {}, None)
        outputs = [merged(0)]
        if part.merge.config.get("merge_mode", "concat") is None:
            outputs.append(merged(1))
        for way, recurrent in ((forward, part.forward), (backward, part.backward)):
            states = sum(len(recurrence.states) for recurrence in recurrent.recurrences)
            outputs += [way(1 + number) for number in range(states)]
        return _outputs(outputs)

    def _add(
        self,
        path: str,
        layer: Layer | Recurrence,
        args: tuple[Argument, ...],
        kwargs: dict[str, Argument],
        input_shape: Shape | None,
    ) -> Outputs:
        self._limits.check("graph_calls", len(self.calls) + 1, self._what, so_far=True)
        self.calls.append(
            Call(
                path=path,
                layer=layer,
                args=args,
                kwargs=kwargs,
                in_training=self._training,
                folds=self._folds,
                input_shape=input_shape,
            )
        )
        return lambda index: Ref(path, index)


def _outputs(tensors: Sequence[Ref]) -> Outputs:
    return lambda number: tensors[number]


def _bind(model: ModelPart, given: Argument) -> dict[str, Ref]:
    """The tensor for each input of a model that is called: by key if it is called on a dict."""
    inputs = model.config.config.get("input_layers")
    names = [source.layer for source in read_sources(inputs)]
    if isinstance(given, dict):
        keys = sorted(inputs) if isinstance(inputs, dict) else names
        bound = {name: given.get(key) for name, key in zip(names, keys, strict=True)}
    else:
        bound = dict(zip(names, refs(given), strict=False))
    missing = [name for name in names if not isinstance(bound.get(name), Ref)]
    if missing:
        raise ModelFileError(
            f"model {model.config.name}: its call gives no tensor for {', '.join(missing)}"
        )
    return {name: ref for name, ref in bound.items() if isinstance(ref, Ref)}


def _sequential_input(first: Member) -> ModelInput:
    """The input of a Sequential, which may have no InputLayer of its own."""
    config = first.config
    if isinstance(first.part, InputPart):
        return ModelInput(config.name, first.part.shape, first.part.dtype)
    shape = config.batch_shape
    if shape is None and config.build_shape is not None:
        # What it happened to be called on first: of that, only the sizes of its weights bind.
        batch_and_steps = len(config.build_shape) - 1 if config.dialect.keras == 3 else 1
        shape = (None,) * batch_and_steps + config.build_shape[batch_and_steps:]
    return ModelInput(f"{config.name}_input", shape, "float32")


def _functional_input(model: ModelPart, name: str) -> ModelInput:
    member = model.members.get(name)
    if member is None or not isinstance(member.part, InputPart):
        raise ModelFileError(
            f"model {model.config.name}: expected its input {name} to be an InputLayer"
        )
    return ModelInput(name, member.part.shape, member.part.dtype)


def _calls_of(model: ModelPart, results: Sequence[Source]) -> dict[tuple[str, int], Node]:
    """Every call of a Functional's layers, by (layer, call number), in the order of the file.

    A model used as a layer already has a call when it is built, so configs count its further
    calls from 1 (keras 3.15.1, models/functional.py, ``get_config``: ``kept_nodes``), except for
    a Sequential in Keras 3. What the wiring itself names decides.
    """
    nodes = {
        name: [read_node(node) for node in member.config.inbound_nodes]
        for name, member in model.members.items()
    }
    named = [
        *results,
        *sources([[*node.args, node.kwargs] for own in nodes.values() for node in own]),
    ]
    highest: dict[str, int] = {}
    for source in named:
        highest[source.layer] = max(source.call, highest.get(source.layer, 0))
    return {
        (name, number + max(0, highest.get(name, 0) + 1 - len(own))): node
        for name, own in nodes.items()
        for number, node in enumerate(own)
    }


def _paths_of(calls: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """What each call is called: by the layer's name; its second call is ``name#2``."""
    numbers: Counter[str] = Counter()
    paths = {}
    for name, number in calls:
        numbers[name] += 1
        paths[name, number] = name if numbers[name] == 1 else f"{name}#{numbers[name]}"
    return paths


def _reads_only(node: Node, done: dict[tuple[str, int], Any]) -> bool:
    return all((source.layer, source.call) in done for source in sources([*node.args, node.kwargs]))


def _recurrent_arguments(node: Node, member: Member) -> _RecurrentArguments:
    """Sorts what a recurrent layer is called on.

    Keras 3 calls ``layer(sequences, initial_state=None, mask=None)``; Keras 2 puts the initial
    states behind x in one list (keras 2.15.0, layers/rnn/base_rnn.py, ``RNN.__call__``).
    """
    names = ("x", "initial_state", "mask")
    given = {**node.kwargs, **dict(zip(names, node.args, strict=False))}
    tensors = list(refs(given.get("x")))
    if not tensors:
        raise ModelFileError(
            f"layer {member.config.name}: expected its call to name a tensor, it names none"
        )
    x, *states = tensors
    passed_states = tuple(refs(given.get("initial_state")))
    return _RecurrentArguments(
        x=x,
        states=(*states, *passed_states),
        mask=next(refs(given.get("mask")), None),
        # Keras 3 hands on the mask of x only to a layer called on nothing but x (keras 3.15.1,
        # layers/layer.py, `__call__`, "Populate mask argument(s)").
        heeds_mask=not (passed_states and member.config.dialect.keras == 3),
        input_shape=node.input_shape or member.config.build_shape,
    )
