"""``python -m lstm_inspect``."""

from lstm_inspect.cli import cli

cli(prog_name="lstm-inspect")
