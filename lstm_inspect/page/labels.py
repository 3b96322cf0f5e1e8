"""Reads the labels of timesteps: tokens, or whatever a step stands for."""

import re
from pathlib import Path

from lstm_inspect.errors import InputError


def read_labels(path: Path) -> list[list[str]]:
    """Reads labels: one a line, a line for each timestep.

    An empty line begins the labels of the next sample. Without any, all samples have these.

    Raises:
        InputError: The file cannot be read, or is no text in UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected labels as text in UTF-8, one a line ({error})"
        ) from error
    return [block.split("\n") for block in re.split("\n\n+", text.strip("\n"))]
