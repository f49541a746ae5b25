"""``nonzero serve`` itself: one flag for every setting of the service."""

from __future__ import annotations

from typing import Any, Final

import click

from nonzero.errors import SettingsError
from nonzero_service.settings import PREFIX, Settings

__all__ = ["serve"]


_SHORTER: Final = {"import_file": ("--import",)}
"""Flags beside those that are named as their settings."""


def _serve(**flags: str | None) -> None:
    """Serve predictions and learn from updates over HTTP.

    A flag wins over its variable in the environment, that over the file of --config.
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
    epilog=f"Every flag is also a variable: --data-dir is {PREFIX}DATA_DIR.",
)
