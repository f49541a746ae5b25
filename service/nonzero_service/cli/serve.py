"""``nonzero serve``: starts the service, where the packages that it needs are installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from nonzero_service.cli.extra import service_extra


# What follows the command is parsed by the settings themselves, which only the extra knows.
@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def serve(context: click.Context, flags: Sequence[str]) -> None:
    """Serve over HTTP; pip install 'nonzero-ctr[service]' brings what it needs."""
    with service_extra("serve"):
        _import_structlog()
        from nonzero_service.cli.serving import serve as serving
    serving.main([*flags], prog_name=context.command_path)


def _import_structlog() -> None:
    """Import structlog without Rich, which it takes where it finds it, and which no line of a log needs.

    It would be a tenth of the time to the first prediction.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
