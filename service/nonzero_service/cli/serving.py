"""The command ``nonzero serve``, which has a flag for every setting of the service."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from itertools import pairwise
from typing import Any, Final

import click

from nonzero.errors import SettingsError
from nonzero_service.settings import PREFIX, Settings

_SHORTER: Final = {"import_file": ("--import",)}
"""Flags beside those that are named as their settings."""


_REPEATED: Final = frozenset({"source"})
"""Those that may be given several times."""


def _serve(**flags: str | tuple[str, ...] | None) -> None:
    """Start the HTTP service, which answers predictions and learns from updates.

    A setting may be a flag, a variable of the environment or a line of the --config file. The flag wins over
    the variable, and the variable over the file.
    """
    from nonzero_service import server

    try:
        settings = Settings.load(**{name: value for name, value in flags.items() if value != ()})
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error
    server.serve(settings, Settings.passed_over())


class _Flag(click.Option):
    """A setting as an option of text: the settings themselves read and check it."""

    def __init__(self, setting: str) -> None:
        flags = (setting, *_SHORTER.get(setting, ()), "--" + setting.strip("_").replace("_", "-"))
        super().__init__(flags, metavar="", multiple=setting in _REPEATED)
        self._setting = setting

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the flag and its help."""
        default = Settings.model_fields[self._setting].default
        told = "" if default in (None, (), "") else f" [default: {_text(default)}]"
        self.help = meanings()[self._setting].replace("`", "") + told
        return super().get_help_record(ctx)


@cache
def meanings() -> dict[str, str]:
    """Return what each setting means: the docstring behind it.

    Pydantic would read them at each start, which takes 20 ms, for a help that is hardly ever asked for.
    """
    return {
        member.target.id: inspect.cleandoc(said)
        for settings in ast.parse(inspect.getsource(Settings)).body
        if isinstance(settings, ast.ClassDef)
        for member, behind in pairwise(settings.body)
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name)
        if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
        if isinstance(said := behind.value.value, str)
    }


def _text(value: Any) -> str:
    return value.human_readable() if hasattr(value, "human_readable") else str(value)


# Made of the settings, so that flags and settings cannot differ.
serve = click.Command(
    "serve",
    callback=_serve,
    params=[*map(_Flag, Settings.model_fields)],
    help=_serve.__doc__,
    epilog=f"The variable of --data-dir is {PREFIX}DATA_DIR, and so for every flag.",
)
