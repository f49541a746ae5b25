"""``nonzero refold``: a served model rebuilt with a larger or smaller table."""

from __future__ import annotations

from pathlib import Path

import click

from nonzero_service.cli.display import Display, figures_line
from nonzero_service.cli.extra import service_extra
from nonzero_service.cli.options import NEW_FILE, check_output, data_directory, overwrite
from nonzero_service.cli.stopping import Stopping, stoppable


@click.command
@data_directory
@click.option(
    "--bits", type=click.IntRange(1, 30), required=True, help="The new table's size: 2**bits slots."
)
@click.option("--model", default="default", help="The model's name.")
@click.option(
    "--output",
    "-o",
    type=NEW_FILE,
    help="Save the new model here. Otherwise in the working directory, as MODEL-BITS.safetensors.",
)
@overwrite
@stoppable
def refold(
    data_dir: Path, bits: int, model: str, output: Path | None, overwrite: bool, stopping: Stopping
) -> None:
    """Build a model with a table of another size from the journal of a served model, and save it.

    The journal must be whole: the service must have run with --journal-retention all. Nothing in DATA_DIR is
    changed, and the service may run meanwhile. `nonzero serve --import` serves the new model.
    """
    with service_extra("refold"):
        from nonzero_service.models.data_directory import models_in
        from nonzero_service.models.rebuilding import rebuild
    path = output or Path(f"{model}-{bits}.safetensors")
    stopping.kept = lambda: f"{path} was not written"
    check_output(path, "--output", overwrite=overwrite, pipes=False)
    (directory,) = models_in(data_dir, model).values()
    with Display("refolding", None) as display:
        made = rebuild(
            directory, bits, lambda done, end: display.show(done, lambda: f"position {done:,} of {end:,}")
        )
    stopping.finish()
    made.save(path)
    stopping.kept = lambda: f"{path} is whole"
    click.echo(f"{path}: {figures_line(made.metrics(recent=False))}")
