"""``nonzero demo``: a click log replayed through a service over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from nonzero.formats import Reader
from nonzero_service.cli.extra import service_extra
from nonzero_service.cli.file_arguments import file_named
from nonzero_service.cli.options import (
    DIRECTORY,
    FILE_HELP,
    bits,
    complete_file,
    learning_rate,
    optimizer_of,
    source_of,
)
from nonzero_service.cli.reading import ReadingOptions, reading
from nonzero_service.cli.tables import reader_of, tables_of


@click.command
@click.argument("file", required=False, help=FILE_HELP, shell_complete=complete_file)
@click.option("--once", is_flag=True, help="Stop after the summary instead of serving on.")
@click.option("--host", default="127.0.0.1", help="The address that the service listens on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    help="The port that it listens on. 0 takes a free one.",
)
@click.option(
    "--data-dir", type=DIRECTORY, help="Keep the model in this directory. Otherwise it is deleted at the end."
)
@click.option(
    "--examples",
    type=click.IntRange(1000),
    default=100_000,
    help="The length of the simulated log, in impressions.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="The seed of the simulated log.")
@click.option(
    "--chunk", type=click.IntRange(1), default=100, help="How many examples are sent in one request."
)
@reading
@bits
@learning_rate
def demo(
    file: str | None,
    once: bool,
    host: str,
    port: int,
    data_dir: Path | None,
    examples: int,
    seed: int,
    chunk: int,
    reading: ReadingOptions,
    bits: int,
    learning_rate: str,
) -> None:
    """Start a service, replay a click log through it, report how well it predicted, and keep serving.

    The log is sent in order. Each request's examples are first predicted, then learned from. Without FILE the
    log is simulated. Its true click rates are known, and change half-way.

    The service's model gets the schema that the options declare, and what was decided of a table's columns.
    """
    optimizer_of(learning_rate)  # a wrong rate is a wrong use, known before anything starts
    with service_extra("demo"):
        from nonzero_service.cli.demonstration import run
        from nonzero_service.demo.log import file_log, simulated_log
    schema = reading.schema()
    if file is None:
        log = simulated_log(examples, seed, chunk)
    else:
        source = source_of(file_named(file))
        tables = tables_of([source], schema, reading)
        if tables is not None:
            schema = tables.schema
            for note in tables.notes:
                click.echo(f"{source.name}: {note}", err=True)
        reader = reader_of(source, schema, reading, tables)
        if not isinstance(reader, Reader):
            raise click.BadParameter(
                "a log is replayed line by line; give it as text, to which nonzero convert writes it",
                param_hint="FILE",
            )
        log = file_log(source, reader, chunk)
    run(
        log,
        schema,
        host=host,
        port=port,
        data_dir=data_dir,
        options=["--bits", str(bits), "--learning-rate", learning_rate],
        once=once,
    )
