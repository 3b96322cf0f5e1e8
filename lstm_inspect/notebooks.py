"""Writes lines, tables and pictures as plain HTML, for notebooks and pages."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lstm_inspect.notation import printable, shape_text


def as_html(line: str, *tables: Iterable[Mapping[str, Any]]) -> str:
    """Writes a line and tables as HTML; nothing in them is taken as markup.

    Args:
        line: The line above the tables.
        tables: The rows of each table, as JSON data with one set of keys. The keys are its head.
    """
    return f"<p>{text_as_html(line)}</p>" + "".join(table_as_html([*rows]) for rows in tables)


def lines_as_html(text: str) -> str:
    """Writes lines of characters, all of one width."""
    lines = "\n".join(map(text_as_html, text.splitlines()))
    return f"<pre>{lines}</pre>"


def image_as_html(png: bytes, alt: str) -> str:
    """Writes a picture.

    Args:
        png: The bytes of a PNG.
        alt: What is to be seen, in words.
    """
    from base64 import b64encode

    data = f"data:image/png;base64,{b64encode(png).decode()}"
    return f'<img src="{data}" alt="{text_as_html(alt)}" style="max-width: 100%">'


def table_as_html(rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes the rows of a table as HTML; no rows are no table."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{text_as_html(name)}</th>' for name in rows[0])
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row.values())}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return text_as_html(shape_text(value))
        case dict():
            return "<br>".join(
                f"{text_as_html(name)} {_cell(each)}" for name, each in value.items()
            )
        case _:
            return text_as_html(str(value))


def text_as_html(text: str) -> str:
    """Writes a text as HTML, in which nothing is markup; it may stand in an attribute too."""
    from html import escape  # a command shows no HTML and need not wait for it

    return escape(printable(text))
