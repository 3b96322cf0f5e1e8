"""Completes ``NAME=FILE`` in bash, which takes the sides of a ``=`` for words of their own."""

import os
import re
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    split_arg_string,
)

_TAKE = "COMPREPLY+=($value)"
_NO_SPACE = "[[ $value == *[=/] ]] && compopt -o nospace"


class _Bash(BashComplete):
    """Joins the words around a ``=``, and answers with what stands behind the last one."""

    source_template = BashComplete.source_template.replace(_TAKE, f"{_TAKE}; {_NO_SPACE}")

    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        at = int(os.environ["COMP_CWORD"])
        words = split_arg_string(os.environ["COMP_WORDS"])[1 : at + 1]
        joined = re.sub("\n=\n?", "=", "\n".join(words)).split("\n")
        *args, self._typed = joined if len(words) == at else [*joined, ""]
        return args, self._typed

    def format_completion(self, item: "CompletionItem[Any]") -> str:
        *_, name, _ = ["", *self._typed.split("=")]
        return f"{item.type},{item.value.removeprefix(f'{name}=')}"


def register() -> None:
    """Makes click complete in bash by this module."""
    add_completion_class(_Bash)
