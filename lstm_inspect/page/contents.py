"""Puts a page together: what is notable, the numbers, and the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lstm_inspect.checks.state_notes import notes_of
from lstm_inspect.errors import InputError
from lstm_inspect.notation import counted
from lstm_inspect.page.explorer import explorer_of
from lstm_inspect.page.sections import (
    differences_section,
    figures_section,
    origin_section,
    shapes_section,
    verification_section,
)
from lstm_inspect.page.writing import Page
from lstm_inspect.traces.figures import figures_of
from lstm_inspect.traces.sequences import samples_of, units_over_time
from lstm_inspect.traces.stored_trace import StoredTrace

if TYPE_CHECKING:
    from lstm_inspect.checks.findings import Finding
    from lstm_inspect.shapes import ModelShapes


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a page may show beside the states.

    Attributes:
        shapes: The shapes of the model.
        differences: What the states or the model were compared with, and what ``diff`` found.
        labels: Labels of the timesteps: a list for all samples, or one for each recorded sample.
    """

    shapes: "ModelShapes | None" = None
    differences: "Sequence[tuple[str, Sequence[Finding]]]" = ()
    labels: Sequence[Sequence[str]] | None = None


def page_of(
    trace: StoredTrace,
    name: str,
    beside: Beside,
    *,
    signals: Sequence[str] = ("all",),
    samples: Sequence[int] | None = None,
) -> Page:
    """Makes the page of a trace.

    Args:
        trace: The trace; the page has all its layers.
        name: What the trace was read from.
        beside: What else the page shows.
        signals: The signals of which it has the numbers.
        samples: The samples of which it has the numbers, as far as there is room. None are all.

    Raises:
        InputError: A sample was not recorded, there are other labels than timesteps, or the trace
            has a verification of another form.
        SelectionError: A signal was not recorded.
    """
    recorded = samples_of(trace)
    chosen = recorded if samples is None else samples
    figures = figures_of(trace)
    sections = [figures_section(figures)]
    if beside.shapes:
        sections.append(shapes_section(beside.shapes, trace.model.get("sha256")))
    if trace.verification is not None:
        sections.append(verification_section(trace.verification, name))
    sections += [differences_section(each, other) for other, each in beside.differences]
    sections.append(origin_section(trace, name))
    return Page(
        title=trace.model.get("name") or name,
        about=f"{counted(len(trace.layers), 'recurrent layer')}, "
        f"{counted(len(recorded), 'sample')}, from {name}",
        notes=notes_of(figures),
        explorer=explorer_of(
            units_over_time(trace, signals, chosen),
            chosen,
            _labels_of(beside.labels, trace, chosen),
        ),
        sections=sections,
    )


def _labels_of(
    labels: Sequence[Sequence[str]] | None, trace: StoredTrace, chosen: Sequence[int]
) -> Sequence[Sequence[str]] | None:
    """The labels of the chosen samples, or those of all samples; of the recorded timesteps."""
    if labels is None:
        return None
    for layer in trace.layers.values():
        kept = layer.kept.get("timesteps")
        if kept and all(len(each) == kept.size for each in labels):
            labels = [[each[place] for place in kept.places] for each in labels]
    if len(labels) == 1:
        return labels
    recorded = samples_of(trace)
    if len(labels) != len(recorded):
        raise InputError(
            f"labels: expected those of one sample or of all {len(recorded)}, received those of "
            f"{len(labels)}; an empty line stands between two samples"
        )
    by_sample: dict[int, Any] = dict(zip(recorded, labels, strict=True))
    return [by_sample[sample] for sample in chosen if sample in by_sample]
