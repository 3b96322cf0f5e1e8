"""Writes what notebooks show: a line of text and tables, as plain HTML."""

from collections.abc import Iterable, Mapping
from typing import Any

from lstm_inspect.notation import printable, shape_text


def as_html(line: str, *tables: Iterable[Mapping[str, Any]]) -> str:
    """Writes a line and tables as HTML; nothing in them is taken as markup.

    Args:
        line: The line above the tables.
        tables: The rows of each table, as JSON data with one set of keys. The keys are its head.
    """
    return f"<p>{_text(line)}</p>" + "".join(_table([*rows]) for rows in tables)


def _table(rows: list[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{_text(name)}</th>" for name in rows[0])
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
            return _text(shape_text(value))
        case dict():
            return "<br>".join(f"{_text(name)} {_cell(each)}" for name, each in value.items())
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    from html import escape  # a command shows no HTML and need not wait for it

    return escape(printable(text))
