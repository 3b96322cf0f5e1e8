"""The mismatches that ``check`` and ``diff`` report."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from dataclasses import field as dataclass_field
from math import isfinite
from pathlib import Path
from typing import Any

from lstm_inspect.notation import shape_text

SCHEMA = 1

RULES = {
    "value": "A field of a layer or of the model does not have the expected value",
    "missing": "An expected layer, input or array is missing",
    "extra": "A layer, input or array is present that was not expected",
    "states": "The final states of one model do not fit as initial states of the other",
    "numbers": "The numbers of an array differ from the expected numbers",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One mismatch that ``check`` or ``diff`` reports.

    Attributes:
        rule: One of `RULES`.
        file: The file that has the mismatch.
        layer: The path of the layer; None if the mismatch is about the model.
        field: The field, for example ``"units"``, ``"states.h"`` or ``"weights.kernel (f)"``.
        expected: The expected value, as JSON data; None if no value was expected.
        found: The value found, as JSON data; None if there is no value.
        place: The place of the two numbers in their arrays: ``"sample 0, step 3, unit 5"``. None,
            as the next two, if the mismatch is not about numbers.
        largest: The largest absolute difference between the two arrays.
        largest_place: The place of the largest difference.
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
        """The expected value and the value found, as text for a person."""
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
        """The finding as plain JSON data; NaN and infinity, which JSON lacks, become strings."""
        plain = {
            name: str(value) if isinstance(value, float) and not isfinite(value) else value
            for name, value in asdict(self).items()
        }
        return {**plain, "file": str(self.file), "message": self.message}


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of a ``check`` or a ``diff``.

    Attributes:
        command: ``"check"`` or ``"diff"``.
        files: The files that were checked or compared.
        findings: The mismatches, in the order of the files and their layers.
        unread: For each file that could not be read, one line that says why.
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
    """Writes a value of a contract or a model for a message."""
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
