"""``nonzero refold``: the same clicks in a larger or smaller table."""

from __future__ import annotations

from pathlib import Path

import click

from nonzero_service.commands.display import Display, figures_line
from nonzero_service.commands.extra import service_extra
from nonzero_service.commands.options import NEW_FILE, data_directory

__all__ = ["refold"]


@click.command
@data_directory
@click.option("--bits", type=click.IntRange(1, 30), required=True, help="log2 of the number of slots.")
@click.option("--model", default="default", show_default=True, help="The model's name.")
@click.option("--output", type=NEW_FILE, help="Where to save it; else MODEL-BITS.safetensors, here.")
def refold(data_dir: Path, bits: int, model: str, output: Path | None) -> None:
    """Fold a whole kept journal anew into a larger or smaller table, and save the model.

    Nothing in DATA_DIR is changed; a service may be running. It must have kept every row
    (--journal-retention all). Serve the result with `serve --import`, or PUT it as a model.
    """
    with service_extra("refold"):
        from nonzero_service.models.data_directory import models_in
        from nonzero_service.models.rebuilding import rebuild
    path = output or Path(f"{model}-{bits}.safetensors")
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.absolute().parent}", param_hint="--output")
    (directory,) = models_in(data_dir, model).values()
    with Display("refolding", None) as display:
        made = rebuild(
            directory,
            bits,
            lambda done, end: display.show(done, lambda: f"position {done:,} of {end:,}"),
        )
    made.save(path)
    click.echo(f"{path}: {figures_line(made.metrics(recent=False))}")
