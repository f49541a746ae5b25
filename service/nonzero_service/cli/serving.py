"""The command ``nonzero serve``, which has a flag for every setting of the service."""

from __future__ import annotations

from typing import Any, Final

import click

from nonzero.errors import SettingsError
from nonzero_service.settings import PREFIX, Settings

_SHORTER: Final = {"import_file": ("--import",)}
"""Flags beside those that are named as their settings."""


def _serve(**flags: str | None) -> None:
    """Start the HTTP service, which answers predictions and learns from updates.

    A setting may be a flag, a variable of the environment or a line of the --config file. The flag wins over
    the variable, and the variable over the file.
    """
    from nonzero_service import server

    try:
        settings = Settings.load(**flags)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error
    server.serve(settings, Settings.passed_over())


def _flag(name: str) -> click.Option:
    """Return a setting as an option of text: the settings themselves read and check it."""
    field = Settings.model_fields[name]
    meaning = (field.description or "").replace("`", "")
    default = "" if field.default in (None, (), "") else f" [default: {_text(field.default)}]"
    flags = (name, *_SHORTER.get(name, ()), "--" + name.strip("_").replace("_", "-"))
    return click.Option(flags, help=meaning + default, metavar="")


def _text(value: Any) -> str:
    return value.human_readable() if hasattr(value, "human_readable") else str(value)


# Made of the settings, so that flags and settings cannot differ.
serve = click.Command(
    "serve",
    callback=_serve,
    params=[_flag(name) for name in Settings.model_fields],
    help=_serve.__doc__,
    epilog=f"The variable of --data-dir is {PREFIX}DATA_DIR, and so for every flag.",
)
