"""Writes a page: one file with its tables, its numbers, its script and its style."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_inspect.errors import MissingExtraError
from lstm_inspect.files.atomic import replacing
from lstm_inspect.notebooks import table_as_html, text_as_html
from lstm_inspect.page.explorer import Explorer
from lstm_inspect.page.packing import packed_bytes
from lstm_inspect.page.sections import Section

if TYPE_CHECKING:
    from lstm_inspect.checks.state_notes import StateNote

_MARK = b"<!DOCTYPE html>\n<!-- lstm-inspect report -->\n"
_FOLDER = Path(__file__).parent
_SCRIPTS = ("numbers", "naming", "heat_map", "course", "controls")  # each uses those before it

# The page asks for nothing from a network, and a name in a dump cannot make it.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page has.

    Attributes:
        title: Its title.
        about: The line below the title.
        notes: What is notable about the states.
        explorer: The numbers.
        sections: The tables.
    """

    title: str
    about: str
    notes: "Sequence[StateNote]"
    explorer: Explorer
    sections: Sequence[Section]


def drawing_library() -> str:
    """The script of Plotly, which draws the numbers.

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingExtraError(
            f'report needs plotly ({error}): pip install "lstm-inspect[report]"'
        ) from error
    return str(get_plotlyjs())


def is_page(path: Path) -> bool:
    """Whether a file is a page of this tool."""
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK


def write_page(path: Path, page: Page, library: str, may_replace: Callable[[Path], bool]) -> None:
    """Writes a page, which gets its name once it is complete.

    Args:
        path: The path of the page.
        page: The page.
        library: What `drawing_library` returned.
        may_replace: Tells whether what has this name may be replaced.

    Raises:
        OutputError: The page cannot be written there.
    """
    with replacing(path, may_replace) as file:
        file.write(_MARK)
        for part in _parts(page, library):
            file.write(part.encode())


def _parts(page: Page, library: str) -> Iterator[str]:
    yield (
        f'<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{text_as_html(page.title)}</title>\n"
        f"<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n"
        f'<header>\n<h1>{text_as_html(page.title)}</h1>\n<p class="quiet">'
        f"{text_as_html(page.about)}</p>\n</header>\n<main>\n"
    )
    yield _notes(page.notes)
    yield _asset("explorer.html").replace(
        "<!-- notes -->",
        "".join(f'<p class="hint">{text_as_html(note)}</p>\n' for note in page.explorer.notes),
    )
    for section in page.sections:
        yield f"<section>\n<h2>{text_as_html(section.title)}</h2>\n"
        for line in section.lines:
            yield f"<p>{text_as_html(line)}</p>\n"
        for rows in section.tables:
            if rows:
                yield (
                    f'<div class="table" role="region" aria-label="{text_as_html(section.title)}" '
                    f'tabindex="0">{table_as_html(rows)}</div>\n'
                )
        yield "</section>\n"
    described = json.dumps(page.explorer.described, allow_nan=False).replace("<", "\\u003c")
    yield "</main>\n"
    yield f'<script id="report" type="application/json">{described}</script>\n'
    # The script shows the first sample while the browser reads the others.
    first, *others = page.explorer.numbers
    yield from _packed(first)
    for name in _SCRIPTS:
        yield f"<script>\n{_asset(f'script/{name}.js')}</script>\n"
    yield from _packed({"plotly": packed_bytes(library.encode())})
    for numbers in others:
        yield from _packed(numbers)
    yield "</body>\n</html>\n"


def _packed(texts: Mapping[str, str]) -> Iterator[str]:
    for name, text in texts.items():
        yield f'<script id="{text_as_html(name)}" type="text/plain">{text}</script>\n'


def _notes(notes: "Sequence[StateNote]") -> str:
    items = "".join(
        f'<li><span class="kind">{text_as_html(note.kind)}</span> {text_as_html(note.text)}'
        f'<button type="button" hidden data-layer="{text_as_html(note.layer)}" '
        f'data-signal="{text_as_html(note.signal or "")}">Show</button></li>\n'
        for note in notes
    )
    said = f'<ul class="notes">\n{items}</ul>' if notes else "<p>Nothing is notable.</p>"
    return f"<section>\n<h2>Notes</h2>\n{said}\n</section>\n"


def _asset(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
