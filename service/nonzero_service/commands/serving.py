"""``nonzero serve`` itself: one flag for every setting of the service."""

from __future__ import annotations

import inspect
from typing import Any, Final

import typer

from nonzero.errors import SettingsError
from nonzero_service.settings import PREFIX, Settings

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


_SHORTER: Final = {"import_file": ("--import",)}
"""Flags beside those that are named as their settings."""


def serve(**flags: str | None) -> None:
    """Serve predictions and learn from updates over HTTP.

    A flag wins over its variable in the environment, that over the file of --config.
    """
    from nonzero_service import server

    try:
        settings = Settings.load(**flags)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error
    server.serve(settings)


def _flag(name: str) -> inspect.Parameter:
    """Return a setting as an option of text: the settings themselves read and check it."""
    field = Settings.model_fields[name]
    meaning = (field.description or "").replace("`", "")
    default = "" if field.default is None else f" [default: {_text(field.default)}]"
    option = typer.Option(
        None,
        *_SHORTER.get(name, ()),
        "--" + name.replace("_", "-"),
        help=meaning + default,
        metavar="",
        show_default=False,
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=str | None)


def _text(value: Any) -> str:
    return value.human_readable() if hasattr(value, "human_readable") else str(value)


# Typer reads a command's options from its signature, so that flags and settings cannot differ.
vars(serve)["__signature__"] = inspect.Signature([_flag(name) for name in Settings.model_fields])
serve.__annotations__ = dict.fromkeys(Settings.model_fields, str | None)
app.command(epilog=f"Every flag is also a variable: --data-dir is {PREFIX}DATA_DIR.")(serve)
