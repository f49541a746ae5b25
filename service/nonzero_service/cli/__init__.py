"""The command line, ``nonzero COMMAND``; each command is in the module of its name.

``train``, ``predict``, ``evaluate``, ``convert``, ``join``, ``inspect`` and ``export`` need only the library;
to write ONNX, the package onnx too. ``serve``, ``demo``, ``verify`` and ``refold`` need the packages of the
``service`` extra, and ``cluster`` those of ``postgres`` too.

Exit status: 0 is success. 1 is a failure; one line says what failed and what to do. 2 is a wrong use. 130 is
a stop by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

# Before numpy is imported: its linear algebra, which no command needs, would start a thread for each core,
# and these spin, so that starting took twice the processor time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Ctrl-C while all is imported ends the process: there is nothing to tell, and a traceback would tell nothing.
_RAISES = signal.getsignal(signal.SIGINT) is signal.default_int_handler
_RAISES = _RAISES and threading.current_thread() is threading.main_thread()
if _RAISES:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import click  # noqa: E402

from nonzero import __version__  # noqa: E402
from nonzero.errors import NonzeroError  # noqa: E402
from nonzero_service.cli.stopping import STATUS  # noqa: E402

if _RAISES:
    signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = ["app", "main", "run"]

COMMANDS: Final = {
    "train": "Learn a model from files of labelled examples.",
    "predict": "Predict the examples of a file with a saved model.",
    "evaluate": "Tell how well saved models predict, and which of two is better.",
    "convert": "Write files of examples as another format, or as hashed rows.",
    "join": "Label impressions by the clicks that came soon after them.",
    "inspect": "Show what a saved model holds, and whether it still learns.",
    "export": "Write a saved model for others: JSON, ONNX, VW text.",
    "serve": "Start the HTTP service, which predicts and learns.",
    "cluster": "Look at nodes that share a database: who writes, and who lags.",
    "demo": "Start a service and replay a click log through it.",
    "verify": "Check the files of a service's data directory.",
    "refold": "Rebuild a served model with a larger or smaller table.",
}
"""The commands and their summaries. A command's module is imported only when the command runs."""

ON_FILES: Final = (
    ["train"],
    ["predict"],
    ["evaluate"],
    ["convert"],
    ["join"],
    ["inspect"],
    ["export"],
)
"""How the command lines begin that work on files."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*COMMANDS]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in COMMANDS:
            raise click.exceptions.NoSuchCommand(cmd_name, possibilities=[*COMMANDS], ctx=ctx)
        command: click.Command = getattr(import_module(f"nonzero_service.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; one that does not stop by itself, or is still imported, has nothing to keep."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("nonzero: stopped", err=True)
            raise click.exceptions.Exit(STATUS) from None


app = click.version_option(__version__, prog_name="nonzero", message="%(prog)s %(version)s")(
    _Commands(
        "nonzero",
        context_settings={"show_default": True},
        help="Predict click-through rates, and learn from clicks as they come. `nonzero COMMAND --help` "
        "explains a command.",
    )
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, that of the process unless given, and exit.

    Errors that we know become one line on stderr and exit status 1.
    """
    try:
        app(arguments)
    except (NonzeroError, OSError) as error:
        click.echo(f"nonzero: {_described(error)}", err=True)
        sys.exit(1)


def run() -> None:
    """Run the command of this process, and end the process.

    A command that works on files leaves nothing behind, and ends without taking apart what it has imported,
    which would take 20 to 50 ms.
    """
    _open_what_is_closed()
    try:
        main()
    except SystemExit as ended:
        if sys.argv[1:2] not in ON_FILES or not isinstance(ended.code, int):
            raise
        try:
            if ended.code != STATUS:  # what a stop has printed is told by who stops
                sys.stdout.flush()
            sys.stderr.flush()
        except BrokenPipeError:  # whoever read it has gone
            os._exit(1)
        os._exit(ended.code)


def _open_what_is_closed() -> None:
    """Open the null device where standard output or error was closed: nobody wants what is said there."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # a file that lasts as long as the process
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _described(error: NonzeroError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
