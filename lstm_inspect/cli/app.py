"""The command group, and the one place that turns an error into a line and an exit status."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from lstm_inspect.cli.check_command import check, contract
from lstm_inspect.cli.diff_command import diff
from lstm_inspect.cli.messages import say_error, say_failure, say_notes, warnings_as_lines
from lstm_inspect.cli.plot_command import plot
from lstm_inspect.cli.report_command import report
from lstm_inspect.cli.shapes_command import shapes
from lstm_inspect.cli.shared_options import debug_option
from lstm_inspect.cli.show_command import show
from lstm_inspect.cli.stats_command import stats
from lstm_inspect.cli.trace_command import trace
from lstm_inspect.cli.verify_command import verify
from lstm_inspect.cli.weights_command import weights
from lstm_inspect.errors import InspectError
from lstm_inspect.notation import command_line_words
from lstm_inspect.version import __version__

EXIT_FAILED = 2  # 1 means that a difference was found
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

# The matrix products of one timestep are small, so BLAS threads spin and hinder each other. On a
# busy machine they made a replay 25 times slower. NumPy reads these variables at its import.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")


if "_LSTM_INSPECT_COMPLETE" in os.environ:  # the shell asks what completes a line
    from lstm_inspect.cli import bash_words

    bash_words.register()


class _Failure(click.ClickException):
    exit_code = EXIT_FAILED

    def show(self, file: Any = None) -> None:
        say_error(self.message)


class _Group(click.Group):
    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as error:
            raise _usage(error) from error
        except BrokenPipeError:
            raise
        except OSError as error:  # --help and --version print here
            raise _no_output(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_command = args[0] in self.commands or ctx.resilient_parsing
        if not is_command and Path(args[0]).exists():
            commands = ", ".join(self.commands)
            raise click.UsageError(
                f"Expected a command in front of {args[0]}, such as: shapes {args[0]}; "
                f"there are {commands}.",
                ctx,
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            if sys.stdout is None:
                # The next opened file would take its place and receive what is printed.
                raise _Failure("standard output is closed; redirect it to a file or /dev/null")
            if isinstance(sys.stdout, io.TextIOWrapper):
                # A name may contain characters that the terminal's encoding lacks.
                sys.stdout.reconfigure(errors="backslashreplace")
            with warnings_as_lines(), command_line_words():
                result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except click.UsageError as error:
            raise _usage(error) from error
        except InspectError as error:
            say_failure(error)
            ctx.exit(EXIT_FAILED)
        except BrokenPipeError:
            # The reader closed the pipe. Python must not try to write again when it exits.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_BROKEN_PIPE)
        except OSError as error:
            raise _no_output(error) from error
        except MemoryError as error:
            raise _Failure("there is not enough memory") from error
        except KeyboardInterrupt as error:
            click.echo("interrupted", err=True)
            say_notes(error)
            ctx.exit(EXIT_INTERRUPTED)


def _no_output(error: OSError) -> _Failure:
    return _Failure(f"{error.strerror}: {error.filename or 'standard output'}")


def _usage(error: click.UsageError) -> click.ClickException:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    command = error.ctx.command_path if error.ctx else "lstm-inspect"
    message = error.format_message()
    takes_input = error.ctx and any(each.name == "inputs" for each in error.ctx.command.params)
    if takes_input and message.startswith("Got unexpected extra argument"):
        message += " An input is given with --input."
    return _Failure(f"{message} See '{command} --help'.")


def _print_version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked:
        from lstm_inspect.files.libraries import known_holes, library_versions

        click.echo(f"lstm-inspect, version {__version__}")
        click.echo(", ".join(f"{name} {version}" for name, version in library_versions().items()))
        if holes := known_holes():
            click.echo(f"warning: {holes}", err=True)
        ctx.exit()


_EXAMPLES = """\b
Examples:
  lstm-inspect shapes model.keras
  lstm-inspect weights model.keras --gates --out weights.npz
  lstm-inspect trace model.keras --input x.npy --out states.npz
  lstm-inspect check model.keras --expect encoder.units=256
\b
Completion, by a line in the file that the shell reads when it starts:
  bash  eval "$(_LSTM_INSPECT_COMPLETE=bash_source lstm-inspect)"
  zsh   eval "$(_LSTM_INSPECT_COMPLETE=zsh_source lstm-inspect)"
  fish  _LSTM_INSPECT_COMPLETE=fish_source lstm-inspect | source
\b
Documents: README.md and docs/ in the source of this tool
  docs/questions.md    what the shapes and states mean
  docs/looking.md      states in a terminal, in figures, as pictures and pages
  docs/formats.md      which files and layers it reads
  docs/ci.md           contracts, reports, GitHub Actions, pre-commit, pytest
  docs/json.md         what --format json prints
  docs/performance.md  which engine to take, and how fast it is
  docs/scale.md        large batches: bytes, time, a cluster
  docs/safety.md       files from strangers, and the limits
"""


@click.group(
    name="lstm-inspect",
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXAMPLES,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of this tool and of the libraries that read files.",
)
@debug_option
def cli() -> None:
    """See inside saved recurrent Keras models, without TensorFlow.

    MODEL is a file or a folder, or - for standard input.

    `lstm-inspect COMMAND --help` explains a command.

    Exit status: 0 done, or nothing differs; 1 something differs; 2 an error, or an incomplete
    result; 130 interrupted.
    """


for _command in (shapes, weights, trace, show, plot, stats, report, verify, check, contract, diff):
    cli.add_command(debug_option(_command))
