"""How people make the arrays to feed, with the Keras that has their code.

People copy these lines, so a name of the file stands in them only as a quoted text, or if it is an
identifier.
"""

from collections.abc import Sequence

from lstm_inspect.model import Layer, Model


def how_to_feed(model: Model, paths: Sequence[str]) -> str | None:
    """Three lines of Python that make the output of a layer, for a layer that cannot be run.

    Args:
        model: The model.
        paths: The paths to feed; the first that a model of Keras can give is shown.

    Returns:
        The lines, None if no path is that of a layer of the model itself, or its class has no name
        that Python could have.
    """
    layers = {call.path: call.layer for call in model.calls if isinstance(call.layer, Layer)}
    own = [path for path in paths if "/" not in path and "#" not in path]
    if not own:
        return None
    layer = layers[own[0]]
    keras = "keras" if layer.framework == "Keras 3" else "tf_keras"
    name = layer.class_name.rpartition(">")[2]
    if not name.isidentifier():
        return None
    how = "safe_mode=False" if name == "Lambda" else f"custom_objects={{{name!r}: {name}}}"
    return "\n".join(
        (
            f"hint: {own[0]}.npy is made where its code is, and its code is trusted:",
            f"  model = {keras}.models.load_model({model.source.path.name!r}, {how})",
            f"  front = {keras}.Model(model.inputs, model.get_layer({own[0]!r}).output)",
            f"  numpy.save({f'{own[0]}.npy'!r}, front.predict(x))",
        )
    )


def how_to_feed_x(model: Model, name: str) -> str | None:
    """Three lines of Python that make the x of a layer, for a model that lacks its wiring.

    Args:
        model: The model.
        name: The input that is missing: the path of a recurrent layer.

    Returns:
        The lines, None if the name is no attribute that a model could have.
    """
    if not name.isidentifier():
        return None
    return "\n".join(
        (
            f"hint: {model.why_unwired}; {name}.npy is the x of a layer; save it there:",
            f"  layer = model.{name}; call = layer.call",
            f'  layer.call = lambda x, **given: (numpy.save("{name}.npy", x), call(x, **given))[1]',
            "  model(x)",
        )
    )
