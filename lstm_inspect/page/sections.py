"""What a page says in tables and lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lstm_inspect.errors import InputError
from lstm_inspect.notation import shape_text
from lstm_inspect.version import __version__

if TYPE_CHECKING:
    from lstm_inspect.checks.findings import Finding
    from lstm_inspect.shapes import ModelShapes
    from lstm_inspect.traces.figures import LayerFigures
    from lstm_inspect.traces.stored_trace import StoredTrace

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading.

    Attributes:
        title: The heading.
        lines: The lines below it.
        tables: The rows of each table; their keys are its head.
    """

    title: str
    lines: Sequence[str]
    tables: Sequence[Sequence[Row]]


def figures_section(layers: "Iterable[LayerFigures]") -> Section:
    """The figures of every recorded signal."""
    rows = [
        {
            "layer": layer.path,
            "signal": each.signal,
            "shape": each.shape,
            "min": each.low,
            "mean": each.mean,
            "max": each.high,
            "std": each.std,
            "below 0.05": _share(each.closed),
            "above 0.95": _share(each.opened),
            "half-life": each.middle_half_life,
            "growth": each.growth,
            "masked": _share(layer.masked),
            "NaN or infinite": each.nonfinite,
        }
        for layer in layers
        for each in layer.signals
    ]
    return Section("Figures", [], [rows])


def shapes_section(shapes: "ModelShapes", traced: str | None) -> Section:
    """The shapes of the weights and states of a model.

    Args:
        shapes: The shapes.
        traced: The SHA-256 of the model that the states come from, if it is known.
    """
    source = shapes.model.source
    another = f"{source.path.name} is another file than the model that the states come from."
    lines = [another] if traced and source.sha256 and traced != source.sha256 else []
    return Section("Shapes", lines, [shapes.rows])


def verification_section(verification: Mapping[str, Any], name: str) -> Section:
    """What a comparison with Keras found, as `Verification.as_json` has it.

    Args:
        verification: The result.
        name: What has it.

    Raises:
        InputError: The dump has something else.
    """
    try:
        layers = [{**each} for each in verification["layers"]]
        comparisons = [{**each} for each in verification["comparisons"]]
        agrees = verification["agrees"]
        if type(agrees) is not bool:
            raise TypeError(f"agrees: {agrees!r:.80}")
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{name}: its document has a verification of another form ({error!r})"
        ) from error
    verdict = "agree" if agrees else "do not agree"
    return Section(
        "Comparison with Keras", [f"The replay and Keras {verdict}."], [layers, comparisons]
    )


def differences_section(findings: "Sequence[Finding]", other: str) -> Section:
    """What ``diff`` found."""
    rows = [{"layer": each.layer, "difference": each.message} for each in findings]
    line = f"Compared with {other}: " + ("these differences." if rows else "nothing differs.")
    return Section("Differences", [line], [rows])


def origin_section(trace: "StoredTrace", name: str) -> Section:
    """Where the numbers come from."""
    facts: list[Row] = [
        *({"what": key.replace("_", " "), "value": value} for key, value in trace.model.items()),
        {"what": "read from", "value": name},
        {"what": "page made by", "value": f"lstm-inspect {__version__}"},
    ]
    layers: list[Row] = [
        {
            "layer": path,
            "cell": layer.cell,
            "units": layer.units,
            "direction": layer.direction,
            "engine": layer.engine,
            "signals": {
                name: f"{shape_text(signal.array.shape)} {signal.array.dtype}"
                for name, signal in layer.signals.items()
            },
            "recorded": {dim: str(kept) for dim, kept in layer.kept.items()},
        }
        for path, layer in trace.layers.items()
    ]
    untraced = [f"{path} was not traced: {why}" for path, why in trace.untraced.items()]
    return Section("Where it comes from", untraced, [facts, layers])


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"
