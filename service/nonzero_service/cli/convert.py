"""``nonzero convert``: files of examples as hashed rows, which need no parsing, or as any other format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import click

from nonzero.errors import InputError
from nonzero.persistence.pages import keep_freed
from nonzero.sources.files import ROWS, STDIN, format_of
from nonzero.sources.places import Place
from nonzero_service.cli.conversions import (
    Conversion,
    ExamplesConversion,
    NamesConversion,
    RowsConversion,
    SlotsConversion,
)
from nonzero_service.cli.display import Display
from nonzero_service.cli.file_arguments import files_named
from nonzero_service.cli.input_files import InputFiles, files_like
from nonzero_service.cli.named_conversion import NamedConversion
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.options import (
    FILE_HELP,
    MODEL_FILE,
    check_output,
    complete_file,
    overwrite,
    source_of,
)
from nonzero_service.cli.options import allow_missing as missing_allowed
from nonzero_service.cli.outputs import left, opened
from nonzero_service.cli.reading import ReadingOptions, namespace_separator, reading
from nonzero_service.cli.stopping import Stopping, stoppable
from nonzero_service.cli.table_conversion import TableConversion, are_tables
from nonzero_service.cli.table_output import WRITTEN

FORMS: Final = (ROWS, "vw", "ndjson", "libsvm", *WRITTEN)
"""What can be written."""


@click.command
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, help=FILE_HELP, shell_complete=complete_file
)
@click.argument(
    "output",
    metavar="OUTPUT",
    shell_complete=complete_file,
    help="The file to write. Its name tells its format, such as .rows, and with .gz or .zst behind it is "
    "compressed. - is standard output.",
)
@click.option(
    "--to", type=click.Choice(FORMS), help="The format to write. Otherwise OUTPUT tells it; - is rows."
)
@reading
@namespace_separator
@click.option(
    "--like",
    "model",
    type=MODEL_FILE,
    help="Read the files as this saved model does: with its schema, and tables with its columns.",
)
@missing_allowed("convert", "Tables, with --like")
@click.option(
    "--bits",
    type=click.IntRange(1, 30),
    default=22,
    help="To libsvm, and from rows files: the features of names are written as slots of a table of 2**bits.",
)
@overwrite
@stoppable
def convert(
    files: Sequence[str],
    output: str,
    to: str | None,
    reading: ReadingOptions,
    namespace_separator: str | None,
    model: Place | None,
    allow_missing: bool,
    bits: int,
    overwrite: bool,
    stopping: Stopping,
) -> None:
    """Write files of examples as one file of another format: any format as any other.

    As rows (.rows) they are hashed and packed. train and predict read that several times as fast as text, and
    come to the same bits. A rows file remembers the schema by which it was hashed. It has neither names nor
    ids, and they cannot be had back: keep the text.

    As vw or ndjson, each line is read as the same features again. As libsvm, and where a rows file is
    written as text, a feature is its slot in a table.

    Tables are written as tables (csv, tsv, parquet, arrow) with their columns as they are. Of vw and ndjson,
    each field becomes a column; then the files are read twice.

    A line that cannot be read, or not be written so, is reported on stderr and left out. OUTPUT must not be
    there yet, unless --overwrite is given: then it is replaced when all is written, and stays as it was where
    something fails.
    """
    keep_freed()
    stopping.kept = lambda: left(output)
    form = _form_of(output, to)
    named = files_named(files)
    check_output(output, "OUTPUT", overwrite=overwrite, read=(*named, *([] if model is None else [model])))
    sources = [source_of(file) for file in named]

    def opened_files() -> InputFiles:
        again = [source_of(file) for file in named]
        if model is None:
            return InputFiles(again, reading, namespace_separator)
        return files_like(model, again, reading, allow_missing=allow_missing)

    conversion: Conversion
    if form in WRITTEN and are_tables(sources, reading):
        if model is not None:
            raise click.BadParameter(
                "the columns of tables stay as they are, whatever reads them; leave it out",
                param_hint="--like",
            )
        conversion = TableConversion(sources, reading, form, output)
    else:
        conversion = _of_examples(opened_files, form, output, bits)
    rejected = RejectedLines()
    stopping.kept = lambda: f"{left(output)}, after {conversion.position:,} bytes were read"
    with Display("converting", conversion.size) as display, opened(output) as out:
        for note in conversion.notes:
            display.say(note)
        written = conversion.write(out, rejected, display)
        if not written:
            raise InputError(f"there is no example to write in {', '.join(one.name for one in sources)}")
        display.finish(conversion.position, f"{written:,} examples")
        if output != STDIN:  # for which somebody else may let it wait
            stopping.finish()
    stopping.kept = lambda: f"all {written:,} examples were written, and {_named(output)} is whole"
    rejected.finish(display.say)
    for line in conversion.remarks():
        display.say(line)


def _of_examples(
    opened_files: Callable[[], InputFiles], form: str, output: str, bits: int
) -> ExamplesConversion:
    """Return what writes the examples of files, whatever they are."""
    inputs = opened_files()
    if form == ROWS:
        return RowsConversion(inputs)
    if form == "libsvm" or inputs.are_rows:
        return SlotsConversion(inputs, form, bits)
    if form in WRITTEN:
        return NamedConversion(inputs, opened_files, form, output)
    return NamesConversion(inputs, form)


def _form_of(output: str, to: str | None) -> str:
    """Return the format that is written.

    Raises
    ------
    click.BadParameter
        Where neither the option nor the name tells it, or it is one that is only read.
    """
    if to is not None:
        return to
    if output == STDIN:
        return ROWS
    try:
        form = format_of(output)
    except InputError:
        form = ""
    if form not in FORMS:
        what = f"{form} is read, and not written" if form else f"the name {output!r} does not tell a format"
        raise click.BadParameter(
            f"{what}; name the file .rows, .vw, .ndjson, .libsvm, .csv, .tsv, .parquet or .arrow, or give "
            f"--to {'|'.join(FORMS)}",
            param_hint="OUTPUT",
        )
    return form


def _named(output: str) -> str:
    return "standard output" if output == STDIN else output
