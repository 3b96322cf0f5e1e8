"""The command line: turns options into calls, and their results into output and exit status."""

from lstm_inspect.cli.app import cli

__all__ = ["cli"]
