"""The command line.

``train | predict | inspect`` with the library, ``serve | demo | verify | refold`` with the service.

Exit status: 0 fine; 1 a failure, with one line that says what and the way out; 2 a wrong use of the command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

# Before numpy is imported: its linear algebra, which no command needs, would start a thread for each core,
# and these spin, so that starting took twice the processor time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click

from nonzero.errors import NonzeroError

__all__ = ["app", "main", "run"]

COMMANDS: Final = {
    "train": "Learn from files, predicting each example before.",
    "predict": "Predict every example of a file.",
    "inspect": "Show a saved model, and whether it still learns.",
    "serve": "Serve predictions and learn from updates over HTTP.",
    "demo": "Replay a click log through a service, which stays to be tried.",
    "verify": "Check the journals and snapshots of a data directory.",
    "refold": "Fold a kept journal anew into a larger or smaller table.",
}
"""What each does in a line; it is in a module of its name, imported when the command is run."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*COMMANDS]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in COMMANDS:
            raise click.exceptions.NoSuchCommand(cmd_name, possibilities=[*COMMANDS], ctx=ctx)
        command: click.Command = getattr(import_module(f"nonzero_service.commands.{cmd_name}"), cmd_name)
        return command


app = _Commands("nonzero", help="Click-through rates learned while they are served.")


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
    try:
        main()
    except SystemExit as ended:
        if sys.argv[1:2] not in (["train"], ["predict"], ["inspect"]) or not isinstance(ended.code, int):
            raise
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except BrokenPipeError:  # whoever read it has gone
            os._exit(1)
        os._exit(ended.code)


def _described(error: NonzeroError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


if __name__ == "__main__":
    run()
