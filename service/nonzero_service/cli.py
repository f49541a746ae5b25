"""The command line.

``train | predict | inspect`` with the library, ``serve | demo | verify | refold`` with the service.

Exit status: 0 fine; 1 a failure, with one line that says what and the way out; 2 a wrong use of the command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from nonzero.errors import NonzeroError
from nonzero_service.commands.demo import demo
from nonzero_service.commands.inspect import inspect
from nonzero_service.commands.predict import predict
from nonzero_service.commands.refold import refold
from nonzero_service.commands.serve import serve
from nonzero_service.commands.train import train
from nonzero_service.commands.verify import verify

__all__ = ["app", "main"]

app = typer.Typer(
    name="nonzero",
    help="Click-through rates learned while they are served.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(train)
app.command()(predict)
app.command()(inspect)
# What follows the command is parsed by the settings themselves, which only the extra knows.
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)(serve)
app.command()(demo)
app.command()(verify)
app.command()(refold)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, that of the process unless given, and exit.

    Errors that we know become one line on stderr and exit status 1.
    """
    try:
        app(arguments)
    except (NonzeroError, OSError) as error:
        typer.echo(f"nonzero: {_described(error)}", err=True)
        sys.exit(1)


def _described(error: NonzeroError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


if __name__ == "__main__":
    main()
