"""``nonzero serve``: starts the service, where the packages that it needs are installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nonzero_service.cli.extra import service_extra
from nonzero_service.cli.options import complete_file

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _Serve(click.Command):
    """The command, which has the flags of the settings for who completes a line of the shell."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the flags that begin so."""
        from nonzero_service.cli.serving import serve as serving

        return serving.shell_complete(click.Context(serving, parent=ctx), incomplete)


# What follows the command is parsed by the settings themselves, which only the extra knows.
@click.command(cls=_Serve, add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, shell_complete=complete_file)
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
