"""The errors and warnings that a file, an input or a choice of the user can cause.

    InspectError
    ├── ModelFileError          the model file cannot be read, or contradicts itself
    ├── LimitError              a file asks for more than a limit allows
    ├── UnsupportedLayerError   the result depends on a layer that cannot be run
    ├── InputError              the input arrays do not fit the model
    ├── SelectionError          a layer pattern or signal name matches nothing
    ├── ContractError           a contract cannot be read, or mentions a field that no model has
    ├── OutputError             the result cannot be written to the requested path
    └── MissingExtraError       an optional package is needed but not installed

Every message is one line: what; expected; received; what to do next. Any other exception that
leaves the library is a bug in the library and keeps its traceback.
"""

from lstm_inspect.notation import printable

_LONGEST = 300


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Makes a message safe to print: one line, escaped, at most 300 characters or so many.

    A message may quote a file. If it is too long, its middle is cut, because the start says what
    it is about and the end says what to do next.
    """
    line = printable(text)
    if len(line) <= longest:
        return line
    kept = (longest - 5) // 2
    return f"{line[:kept]} ... {line[-kept:]}"


class InspectError(Exception):
    """The base of every error that a file, an input or a choice of the user can cause."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

    __str__ = Exception.__str__  # KeyError.__str__ would put the message in quotes


class ModelFileError(InspectError, ValueError):
    """The model file cannot be read, has an unsupported format, or contradicts itself."""


class LimitError(InspectError, ValueError):
    """A file asks for more than a limit allows; the message names the limit and how to raise it."""


class UnsupportedLayerError(InspectError, NotImplementedError):
    """A layer has no exact NumPy form, so nothing that depends on it can be replayed."""


class InputError(InspectError, ValueError):
    """An input array is missing, unknown, or has a shape or dtype that the model does not take."""


class SelectionError(InspectError, KeyError):
    """A layer pattern or signal name matches nothing; the message lists the possible names."""


class ContractError(InspectError, ValueError):
    """A contract cannot be read, or mentions a field that no model has."""


class OutputError(InspectError, OSError):
    """A result cannot be written to the requested path."""


class MissingExtraError(InspectError, ImportError):
    """An optional package is not installed; the message gives the pip command."""


class InspectWarning(UserWarning):
    """The base of every warning of this tool; each message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NonFiniteWarning(InspectWarning):
    """An array contains NaN or infinity; the message names the first position."""


class RoundingWarning(InspectWarning):
    """An input was rounded to the dtype that the model computes in."""


class UnreadWeightsWarning(InspectWarning):
    """An array was not read because the file holds no numbers for it; the message says why."""
