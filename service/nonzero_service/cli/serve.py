"""``nonzero serve``: starts the service, where the packages that it needs are installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nonzero_service.cli.extra import service_extra
from nonzero_service.cli.options import complete_file
from nonzero_service.structlog_import import import_structlog

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
        import_structlog()
        from nonzero_service.cli.serving import serve as serving
    serving.main([*flags], prog_name=context.command_path)
