"""What can go wrong when a person points the tool at a file.

    InspectError
    ├── ModelFileError          the model file cannot be read, or contradicts itself
    ├── LimitError              a file asks for more than is granted without being told to
    ├── UnsupportedLayerError   a layer that the asked-for result depends on cannot be run
    ├── InputError              the arrays given do not fit the model
    ├── SelectionError          a layer pattern or signal name matches nothing
    ├── ContractError           a contract cannot be read, or mentions what no model has
    ├── OutputError             the result cannot be written where it was asked for
    └── MissingExtraError       an optional package that this needs is not installed

Every message is one line: what; expected; received; what to do next. Anything else that escapes
the library is a bug of ours and keeps its traceback.
"""

from lstm_inspect.notation import printable

_LONGEST = 300


def one_line(text: str) -> str:
    """A message that may quote a file, safe to print: on one line, escaped, of 300 characters.

    What is too long loses its middle: what it is about stands first, what to do last.
    """
    line = printable(text)
    if len(line) <= _LONGEST:
        return line
    kept = (_LONGEST - 5) // 2
    return f"{line[:kept]} ... {line[-kept:]}"


class InspectError(Exception):
    """Base of every error that a file, an input or a choice of the user can cause."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

    __str__ = Exception.__str__  # that of KeyError would quote the message


class ModelFileError(InspectError, ValueError):
    """The model file cannot be read, is in a format not read yet, or contradicts itself."""


class LimitError(InspectError, ValueError):
    """A file asks for more than is granted; the message names the limit and how to raise it."""


class UnsupportedLayerError(InspectError, NotImplementedError):
    """A layer has no exact NumPy form, so nothing behind it can be replayed."""


class InputError(InspectError, ValueError):
    """An input array is missing, unknown, or of a shape or dtype the model does not take."""


class SelectionError(InspectError, KeyError):
    """A layer pattern or a signal name matches nothing; the message lists what there is."""


class ContractError(InspectError, ValueError):
    """A contract cannot be read, or mentions what no model has."""


class OutputError(InspectError, OSError):
    """A result cannot be written to the path it was asked for."""


class MissingExtraError(InspectError, ImportError):
    """An optional package is not installed; the message has the pip line."""


class InspectWarning(UserWarning):
    """Base of what the tool warns of; every message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NonFiniteWarning(InspectWarning):
    """Numbers hold NaN or infinity; the message names the first place."""


class RoundingWarning(InspectWarning):
    """An input was rounded to the dtype the model computes in."""


class UnreadWeightsWarning(InspectWarning):
    """An array of the file is not made of stored numbers, and was not read."""
