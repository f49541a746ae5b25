"""``nonzero refold``: the same clicks in a larger or smaller table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nonzero_service.commands.display import Display, figures_line
from nonzero_service.commands.extra import service_extra
from nonzero_service.commands.options import BitsOption, DataDirectoryArgument

__all__ = ["refold"]


def refold(
    data_dir: DataDirectoryArgument,
    bits: BitsOption,
    model: Annotated[str, typer.Option("--model", help="The model's name.")] = "default",
    output: Annotated[
        Path | None,
        typer.Option("--output", dir_okay=False, help="Where to save it; else MODEL-BITS.safetensors, here."),
    ] = None,
) -> None:
    """Fold a whole kept journal anew into a larger or smaller table, and save the model.

    Nothing in DATA_DIR is changed; a service may be running. It must have kept every row
    (--journal-retention all). Serve the result with `serve --import`, or PUT it as a model.
    """
    with service_extra("refold"):
        from nonzero_service.data_directory import models_in
        from nonzero_service.refolding import refold as fold
    path = output or Path(f"{model}-{bits}.safetensors")
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no directory {path.absolute().parent}", param_hint="--output")
    (directory,) = models_in(data_dir, model).values()
    with Display("refolding", None) as display:
        made = fold(
            directory,
            bits,
            lambda done, end: display.show(done, lambda: f"position {done:,} of {end:,}"),
        )
    made.save(path)
    typer.echo(f"{path}: {figures_line(made.metrics())}")
