"""Turns the parts of a model and its wiring into one flat list of calls."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits
from lstm_inspect.model import (
    Argument,
    Call,
    Layer,
    ModelInput,
    ModelOutput,
    Operation,
    Recurrence,
    Ref,
    Shape,
    refs,
)
from lstm_inspect.sources.keras.call_order import calls_of, in_order, paths_of
from lstm_inspect.sources.keras.nodes import (
    Node,
    Place,
    read_places,
    with_tensors,
)
from lstm_inspect.sources.keras.parts import (
    BidirectionalPart,
    InputPart,
    Member,
    MergedModelsPart,
    ModelPart,
    RecurrentPart,
    TimeDistributedPart,
)
from lstm_inspect.sources.keras.tf_operations import translated

Outputs = Callable[[int], Ref]
"""The outputs of a call: takes the number of an output, returns its tensor."""


class Wiring(NamedTuple):
    """A model as a flat list of calls.

    Attributes:
        inputs: The inputs of the model.
        calls: Every call of a layer. The calls inside a nested model or wrapper take its place.
        outputs: The results of the model.
    """

    inputs: tuple[ModelInput, ...]
    calls: tuple[Call, ...]
    outputs: tuple[ModelOutput, ...]


def wire(model: ModelPart, what: str, limits: Limits) -> Wiring:
    """Turns a model into a flat list of calls.

    Args:
        model: The model.
        what: The name of its file, for errors.
        limits: How many calls it may make.

    Raises:
        ModelFileError: The wiring names a layer or a tensor that does not exist.
        LimitError: The model makes more calls than a limit allows. A small file can ask for
            millions, with models that call models that call models.
    """
    writer = _Writer(what, limits)
    results = writer.call_model(model, _Surroundings(), given=None)
    if model.config.is_chain:
        names = [[*model.members][-1]]
    else:
        places = read_places(model.config.config.get("output_layers"))
        names = [place.layer for place in places]
    return Wiring(
        inputs=tuple(writer.inputs),
        calls=tuple(writer.calls),
        outputs=tuple(
            ModelOutput(f"{name}_{again}" if (again := names[:number].count(name)) else name, ref)
            for number, name in enumerate(names)
            if (ref := results(number))
        ),
    )


class _Surroundings(NamedTuple):
    """What a call inherits from the models and wrappers around it.

    Attributes:
        prefix: The names of the models around it, to put in front of its own: ``encoder/``.
        folds: The number of TimeDistributed wrappers around it.
        in_training: Whether it, or a model around it, is called with ``training=True``.
    """

    prefix: str = ""
    folds: int = 0
    in_training: bool = False


class _RecurrentArguments(NamedTuple):
    """The arguments of a call of a recurrent layer."""

    x: Ref
    states: tuple[Ref, ...]
    mask: Ref | None
    heeds_mask: bool
    input_shape: Shape | None


class _Writer:
    def __init__(self, what: str, limits: Limits) -> None:
        self._what = what
        self._limits = limits
        self._calls = 0
        self.inputs: list[ModelInput] = []
        self.calls: list[Call] = []

    def call_model(
        self, model: ModelPart, around: _Surroundings, given: Argument | None
    ) -> Outputs:
        """Writes out one call of a model.

        Args:
            model: The model.
            around: What the call inherits.
            given: The argument of the call: a tensor, or lists or a dict of tensors. None for the
                outermost model; its inputs become the inputs of the graph.
        """
        if model.config.is_chain:
            return self._call_sequential(model, around, given)
        return self._call_functional(model, around, given)

    def _call_sequential(
        self, model: ModelPart, around: _Surroundings, given: Argument | None
    ) -> Outputs:
        members = list(model.members.values())
        if not members:
            raise ModelFileError(f"model {model.config.name}: expected layers, received none")
        first = members[0].part
        if isinstance(first, MergedModelsPart):
            given = self._call_merged_models(first, members.pop(0).config.name, around)(0)
        elif given is None:
            given = self._declare(_sequential_input(members[0]))
        outputs = _outputs(list(refs(given)))
        for member in members:
            if not isinstance(member.part, InputPart):
                try:
                    node = Node((outputs(0),), {}, None)
                except IndexError:
                    raise ModelFileError(
                        f"model {model.config.name}: expected a tensor for "
                        f"{member.config.name}, received none"
                    ) from None
                outputs = self._apply(member, f"{around.prefix}{member.config.name}", node, around)
        return outputs

    def _call_merged_models(
        self, part: MergedModelsPart, path: str, around: _Surroundings
    ) -> Outputs:
        outputs = [
            self.call_model(model, around._replace(prefix=""), None)(0)
            for model in part.models
            if isinstance(model, ModelPart)
        ]
        return self._add(Call(path=path, layer=part.merge, args=(outputs,)), around)

    def _call_functional(
        self, model: ModelPart, around: _Surroundings, given: Argument | None
    ) -> Outputs:
        config = model.config.config
        names = [place.layer for place in read_places(config.get("input_layers"))]
        if given is None:
            bound = {name: self._declare(_functional_input(model, name)) for name in names}
        else:
            bound = _bind(model, given)
        calls, results = calls_of(model, read_places(config.get("output_layers")))
        paths = paths_of(calls)
        done: dict[tuple[str, int], Outputs] = {
            (name, 0): _outputs([ref]) for name, ref in bound.items()
        }

        def resolve(place: Place) -> Ref:
            try:
                return done[place.layer, place.call](place.output)
            except (KeyError, IndexError):
                raise ModelFileError(
                    f"model {model.config.name}: its wiring names output {place.output} of call "
                    f"{place.call} of {place.layer}, which does not exist"
                ) from None

        for key in in_order(calls, done.keys(), model.config.name):
            node = calls[key]
            args, kwargs = with_tensors((node.args, node.kwargs), resolve)
            member = model.members[key[0]]
            resolved = node._replace(args=args, kwargs=kwargs)
            done[key] = self._apply(member, f"{around.prefix}{paths[key]}", resolved, around)
        return _outputs([resolve(place) for place in results])

    def _declare(self, model_input: ModelInput) -> Ref:
        self.inputs.append(model_input)
        return Ref(model_input.name)

    def _apply(self, member: Member, path: str, node: Node, around: _Surroundings) -> Outputs:
        """Writes out one call of a layer; ``node`` has a `Ref` for every tensor."""
        kwargs = {name: given for name, given in node.kwargs.items() if name != "training"}
        # A model may call dropout(x, training=True). Up to Keras 2, the layer then acts as in
        # training even in predict(). In Keras 3, predict() overrules it (keras 2.15.0 and 3.15.1).
        if node.kwargs.get("training") is True and member.config.dialect.keras < 3:
            around = around._replace(in_training=True)
        node = node._replace(kwargs=kwargs)
        match member.part:
            case ModelPart() as model:
                self._count()
                given = node.args[0] if node.args else []
                return self.call_model(model, around._replace(prefix=f"{path}/"), given)
            case TimeDistributedPart(member=child):
                return self._apply(child, path, node, around._replace(folds=around.folds + 1))
            case BidirectionalPart() as part:
                given = _recurrent_arguments(node, member)
                return self._call_bidirectional(path, part, given, around)
            case RecurrentPart() as part:
                return self._call_recurrent(path, part, _recurrent_arguments(node, member), around)
            case Layer() as layer:
                if isinstance(layer.options, Operation):
                    node = translated(member.config, node)
                call = Call(
                    path=path,
                    layer=layer,
                    args=node.args,
                    kwargs=node.kwargs,
                    input_shape=node.input_shape,
                )
                return self._add(call, around)
            case InputPart() | MergedModelsPart():
                raise ModelFileError(f"layer {path}: expected a layer that can be called")

    def _call_recurrent(
        self,
        path: str,
        part: RecurrentPart,
        given: _RecurrentArguments,
        around: _Surroundings,
        part_of: str | None = None,
    ) -> Outputs:
        """Writes out a call of a recurrent layer, as one call for each of its stacked cells.

        Each cell can read the whole sequence before the next cell starts, because no cell depends
        on a cell above it.
        """
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
            is_stack = len(part.recurrences) > 1
            call = Call(
                path=f"{path}/{number}" if is_stack else path,
                layer=recurrence,
                args=(x,),
                kwargs=kwargs,
                input_shape=shape,
                part_of=part_of or (path if is_stack else None),
            )
            outputs = self._add(call, around)
            x, shape = outputs(0), None
            finals += [outputs(1 + state) for state in range(count)]
        return _outputs([x, *finals])

    def _call_bidirectional(
        self, path: str, part: BidirectionalPart, given: _RecurrentArguments, around: _Surroundings
    ) -> Outputs:
        if part.cast is not None:
            cast = self._add(Call(path=f"{path}/cast", layer=part.cast, args=(given.x,)), around)
            given = given._replace(x=cast(0))
        half = len(given.states) // 2
        ours, theirs = given.states[:half], given.states[half:]
        forward = self._call_recurrent(
            f"{path}/forward", part.forward, given._replace(states=ours), around, path
        )
        backward = self._call_recurrent(
            f"{path}/backward", part.backward, given._replace(states=theirs), around, path
        )
        merged = self._add(
            Call(path=path, layer=part.merge, args=(forward(0), backward(0))), around
        )
        outputs = [merged(0)] if part.options.merge_mode else [merged(0), merged(1)]
        for way, recurrent in ((forward, part.forward), (backward, part.backward)):
            states = sum(len(recurrence.states) for recurrence in recurrent.recurrences)
            outputs += [way(1 + number) for number in range(states)]
        return _outputs(outputs)

    def _count(self) -> None:
        """Counts a call of a layer or of a model, which may hold no layer at all."""
        self._calls += 1
        self._limits.check("graph_calls", self._calls, self._what, so_far=True)

    def _add(self, call: Call, around: _Surroundings) -> Outputs:
        self._count()
        recurrence = call.layer
        if around.folds and isinstance(recurrence, Recurrence) and recurrence.time_major:
            raise ModelFileError(
                f"layer {call.path}: expected the batch in front inside a TimeDistributed, "
                "received time_major=True"
            )
        self.calls.append(replace(call, in_training=around.in_training, folds=around.folds))
        return lambda index: Ref(call.path, index)


def _outputs(tensors: Sequence[Ref]) -> Outputs:
    return lambda number: tensors[number]


def _bind(model: ModelPart, given: Argument) -> dict[str, Ref]:
    """The tensor for each input of a model that is called: by key from a dict, else by position."""
    inputs = model.config.config.get("input_layers")
    names = [place.layer for place in read_places(inputs)]
    if isinstance(given, dict):
        keys = sorted(inputs) if isinstance(inputs, dict) else names
        bound = {name: given.get(key) for name, key in zip(names, keys, strict=True)}
    else:
        bound = dict(zip(names, refs(given), strict=False))
    missing = [name for name in names if not isinstance(bound.get(name), Ref)]
    if missing:
        raise ModelFileError(
            f"model {model.config.name}: expected its call to give a tensor for each input, "
            f"received none for {', '.join(missing)}"
        )
    return {name: ref for name, ref in bound.items() if isinstance(ref, Ref)}


def _sequential_input(first: Member) -> ModelInput:
    """The input of a Sequential, with or without an InputLayer."""
    config = first.config
    if isinstance(first.part, InputPart):
        return ModelInput(config.name, first.part.shape, first.part.dtype)
    shape = config.batch_shape
    if shape is None and config.build_shape is not None:
        # This is the shape of the first data that the layer was called on. Only the sizes that its
        # weights depend on are binding; the batch size, and in Keras 3 the timesteps, may differ.
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


def _recurrent_arguments(node: Node, member: Member) -> _RecurrentArguments:
    """Sorts the arguments of a call of a recurrent layer into x, states and mask.

    Keras 3 calls ``layer(sequences, initial_state=None, mask=None)``. Keras 2 puts the initial
    states behind x in one list, ``layer([x, h, c])``
    (keras 2.15.0, layers/rnn/base_rnn.py, ``RNN.__call__``).
    """
    names = ("x", "initial_state", "mask")
    given = {**node.kwargs, **dict(zip(names, node.args, strict=False))}
    tensors = list(refs(given.get("x")))
    if not tensors:
        raise ModelFileError(
            f"layer {member.config.name}: expected its call to name a tensor, received none"
        )
    x, *states = tensors
    passed_states = tuple(refs(given.get("initial_state")))
    return _RecurrentArguments(
        x=x,
        states=(*states, *passed_states),
        mask=next(refs(given.get("mask")), None),
        # Keras 3 uses the mask of x only if x is the one tensor of the call: in lstm(x), but not in
        # lstm(x, initial_state=[h, c]) (keras 3.15.1, layers/layer.py, `__call__`, "Populate mask
        # argument(s)").
        heeds_mask=not (passed_states and member.config.dialect.keras == 3),
        input_shape=node.input_shape or member.config.build_shape,
    )
