"""``nonzero demo``: a click log replayed through the service over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nonzero_service.commands.extra import service_extra
from nonzero_service.commands.options import (
    AUTO,
    BitsOption,
    FormatOption,
    IgnoreOption,
    LabelOption,
    LearningRateOption,
    NumericOption,
    OptionalFileArgument,
    optimizer_of,
    reader_for,
    source_of,
)

__all__ = ["demo"]


def demo(
    file: OptionalFileArgument = None,
    once: Annotated[bool, typer.Option("--once", help="End after the summary.")] = False,
    host: Annotated[str, typer.Option("--host", help="The address to serve on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8000,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", file_okay=False, help="Keep the model here; else it is gone at the end."),
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", min=1000, help="Impressions of the simulated log.")
    ] = 100_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the simulated log.")] = 0,
    chunk: Annotated[int, typer.Option("--chunk", min=1, help="Examples a request.")] = 100,
    format_: FormatOption = None,
    label: LabelOption = None,
    numeric: NumericOption = None,
    ignore: IgnoreOption = None,
    bits: BitsOption = 22,
    learning_rate: LearningRateOption = AUTO,
) -> None:
    """Start the service, replay a click log through it (predict, then update, in order), and keep serving.

    Without FILE the log is simulated: its true click rates are known, and change half-way.
    """
    optimizer_of(learning_rate)  # a wrong rate is a wrong use, known before anything starts
    with service_extra("demo"):
        from nonzero_service.demo.log import file_log, simulated_log
        from nonzero_service.demo.run import run
    if file is None:
        log = simulated_log(examples, seed, chunk)
    else:
        source = source_of(file)
        log = file_log(source, reader_for(source, format_, label, numeric, ignore), chunk)
    run(
        log,
        host=host,
        port=port,
        data_dir=data_dir,
        options=["--bits", str(bits), "--learning-rate", learning_rate],
        once=once,
    )
