"""``nonzero serve``: the service, where what it needs is installed."""

from __future__ import annotations

import typer

from nonzero_service.commands.extra import service_extra

__all__ = ["serve"]


def serve(context: typer.Context) -> None:
    """Serve over HTTP; pip install 'nonzero[service]' brings what it needs."""
    with service_extra("serve"):
        from nonzero_service.commands.serving import app
    app(context.args, prog_name=context.command_path)
