"""The command group, and the one place where errors become a line and an exit status."""

import errno
import os
import sys
from typing import Any

import click

from lstm_inspect.cli.shapes import shapes
from lstm_inspect.cli.trace import trace
from lstm_inspect.cli.verify import verify
from lstm_inspect.errors import InspectError
from lstm_inspect.version import __version__

EXIT_INTERRUPTED = 130


class _Failure(click.ClickException):
    """The tool could not look; 1 is for a look that found a difference."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        # A name may hold anything; an error stays one line.
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in self.message)
        click.echo(f"error: {line}", err=True)


# The products of one timestep are small: BLAS threads spin against each other, and where others use
# the machine were measured to make a replay 25 times slower. Read when NumPy is imported.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except InspectError as error:
            raise _Failure(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise _Failure(f"{error.strerror}: {error.filename or 'standard output'}") from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lstm-inspect")
def cli() -> None:
    """See inside saved recurrent Keras models, without TensorFlow.

    Exit status: 0 done, or nothing differs; 1 something differs; 2 could not look, or not at all
    of it; 130 interrupted.
    """


cli.add_command(shapes)
cli.add_command(trace)
cli.add_command(verify)
