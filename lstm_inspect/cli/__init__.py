"""The command line: options to calls to exit status."""

from lstm_inspect.cli.app import cli

__all__ = ["cli"]
