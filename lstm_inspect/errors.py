"""What can go wrong when a person points the tool at a file.

    InspectError
    ├── ModelFileError          the model file cannot be read, or contradicts itself
    ├── UnsupportedLayerError   a layer that the asked-for result depends on cannot be run
    ├── InputError              the arrays given do not fit the model
    ├── SelectionError          a layer pattern or signal name matches nothing
    ├── OutputError             the result cannot be written where it was asked for
    └── MissingExtraError       an optional package that this needs is not installed

Every message is one line: what; expected; received; what to do next. Anything else that escapes
the library is a bug of ours and keeps its traceback.
"""


class InspectError(Exception):
    """Base of every error that a file, an input or a choice of the user can cause."""

    __str__ = Exception.__str__  # that of KeyError would quote the message


class ModelFileError(InspectError, ValueError):
    """The model file cannot be read, is in a format not read yet, or contradicts itself."""


class UnsupportedLayerError(InspectError, NotImplementedError):
    """A layer has no exact NumPy form, so nothing behind it can be replayed."""


class InputError(InspectError, ValueError):
    """An input array is missing, unknown, or of a shape or dtype the model does not take."""


class SelectionError(InspectError, KeyError):
    """A layer pattern or a signal name matches nothing; the message lists what there is."""


class OutputError(InspectError, OSError):
    """A result cannot be written to the path it was asked for."""


class MissingExtraError(InspectError, ImportError):
    """An optional package is not installed; the message has the pip line."""


class NonFiniteWarning(UserWarning):
    """An input holds NaN or infinity; the message names the first place."""
