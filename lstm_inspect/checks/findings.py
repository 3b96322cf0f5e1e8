"""Where what was found is not what was expected: what `check` and `diff` give."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from dataclasses import field as dataclass_field
from math import isfinite
from pathlib import Path
from typing import Any

from lstm_inspect.notation import shape_text

SCHEMA = 1

RULES = {
    "value": "A field of a layer or of the model is not what was expected",
    "missing": "A layer, an input or an array that was expected is not there",
    "extra": "A layer, an input or an array is there that was not expected",
    "states": "The final states of one model are no initial states of the other",
    "numbers": "The numbers of an array are not those that were expected",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One place where what was found is not what was expected.

    Attributes:
        rule: One of `RULES`.
        file: The file in which it was found.
        layer: The path of the layer, or None where it is about the model.
        field: Which field: ``"units"``, ``"states.h"``, ``"weights.kernel (f)"``.
        expected: What was expected, as JSON data; None where nothing was.
        found: What was found, as JSON data; None where nothing was.
        place: Of numbers, where these two stand: ``"sample 0, step 3, unit 5"``.
        largest: Of numbers, the largest absolute difference.
        largest_place: Where that is.
    """

    rule: str
    file: Path
    layer: str | None
    field: str
    expected: Any
    found: Any
    place: str | None = None
    largest: float | None = None
    largest_place: str | None = None

    @property
    def values(self) -> tuple[str, str]:
        """What was expected and what was found, as a person reads it."""
        return value_text(self.expected), value_text(self.found)

    @property
    def message(self) -> str:
        """The finding in one line, without the file."""
        where = ": ".join(part for part in (self.layer, self.field) if part)
        match self.rule:
            case "missing":
                there = ", ".join(map(str, self.found or ())) or "none"
                return f"{where}: missing; there are {there}"
            case "extra":
                return f"{where}: not expected"
        at = f" at {self.place}" if self.place else ""
        expected, found = self.values
        line = f"{where}{at}: expected {expected}, found {found}"
        if self.largest is None:
            return line
        return f"{line}; largest difference {self.largest:.3g} at {self.largest_place}"

    def as_json(self) -> dict[str, Any]:
        """The finding as plain JSON data; JSON has no NaN and no infinity: they are texts."""
        plain = {
            name: str(value) if isinstance(value, float) and not isfinite(value) else value
            for name, value in asdict(self).items()
        }
        return {**plain, "file": str(self.file), "message": self.message}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of looking.

    Attributes:
        command: ``"check"`` or ``"diff"``.
        files: What was looked at.
        findings: What was found, in the order of the files and their layers.
        unread: Why a file could not be looked at, a line each.
    """

    command: str
    files: tuple[Path, ...]
    findings: tuple[Finding, ...]
    unread: Mapping[Path, str] = dataclass_field(default_factory=dict)

    def of(self, file: Path) -> Iterable[Finding]:
        """The findings in one file."""
        return (finding for finding in self.findings if finding.file == file)

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON data."""
        return {
            "schema": SCHEMA,
            "command": self.command,
            "files": [str(file) for file in self.files],
            "findings": [finding.as_json() for finding in self.findings],
            "unread": {str(file): message for file, message in self.unread.items()},
        }


def value_text(value: Any) -> str:
    """A value of a contract or a model as a message shows it."""
    match value:
        case None:
            return "nothing"
        case {"min": low, "max": high}:
            return f"{low} to {high}"
        case {"min": low}:
            return f"at least {low}"
        case {"max": high}:
            return f"at most {high}"
        case list():
            sizes = ["any" if each is None else value_text(each) for each in value]
            return shape_text(sizes)
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.9g}"  # as many digits as tell any two float32 apart
        case _:
            return str(value)
