"""``nonzero convert``: files of examples as hashed rows, which need no parsing, or as another text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import click

from nonzero.errors import InputError, LineError
from nonzero.persistence.pages import keep_freed
from nonzero.sources.files import ROWS, STDIN, format_of
from nonzero.sources.rows_file import RowsWriter
from nonzero_service.cli.display import Display
from nonzero_service.cli.file_arguments import files_named
from nonzero_service.cli.input_files import InputFiles, files_like
from nonzero_service.cli.notices import RejectedLines, conflict_lines
from nonzero_service.cli.options import FILE_HELP, check_output, complete_file, overwrite, source_of
from nonzero_service.cli.outputs import left, opened
from nonzero_service.cli.reading import ReadingOptions, namespace_separator, reading
from nonzero_service.cli.stopping import Stopping, stoppable

FORMS: Final = (ROWS, "vw", "ndjson", "libsvm")
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
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the files as this saved model does: with its schema, and for csv with its columns.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="csv, with --like: convert although columns are missing that the model was trained on.",
)
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
    model: Path | None,
    allow_missing: bool,
    bits: int,
    overwrite: bool,
    stopping: Stopping,
) -> None:
    """Write files of examples as one file of another format.

    As rows (.rows) they are hashed and packed. train and predict read that several times as fast as text, and
    come to the same bits. A rows file remembers the schema by which it was hashed. It has neither names nor
    ids, and they cannot be had back: keep the text.

    As vw or ndjson, each line is read as the same features again. As libsvm, and where a rows file is
    written as text, a feature is its slot in a table.

    A line that cannot be read, or not be written so, is reported on stderr and left out. OUTPUT must not be
    there yet, unless --overwrite is given: then it is replaced when all is written, and stays as it was where
    something fails.
    """
    keep_freed()
    stopping.kept = lambda: left(output)
    form = _form_of(output, to)
    files = files_named(files)
    check_output(output, "OUTPUT", overwrite=overwrite, read=(*files, *([] if model is None else [model])))
    sources = [source_of(file) for file in files]
    if model is None:
        inputs = InputFiles(sources, reading, namespace_separator)
    else:
        inputs = files_like(model, sources, reading, allow_missing=allow_missing)
    rejected = RejectedLines()
    stopping.kept = lambda: f"{left(output)}, after {inputs.position:,} bytes were read"
    with Display("converting", inputs.size) as display, opened(output) as out:
        for note in inputs.notes:
            display.say(note)
        if form == ROWS:
            written = _write_rows(inputs, out, rejected, display)
        elif form == "libsvm" or inputs.are_rows:
            written = _write_slots(inputs, out, form, bits, rejected, display)
        else:
            written = _write_names(inputs, out, form, rejected, display)
        if not written:
            raise InputError(f"there is no example to write in {', '.join(one.name for one in sources)}")
        display.finish(inputs.position, f"{written:,} examples")
        if output != STDIN:  # for which somebody else may let it wait
            stopping.finish()
    stopping.kept = lambda: f"all {written:,} examples were written, and {_named(output)} is whole"
    rejected.finish(display.say)
    if form == ROWS:
        for line in conflict_lines(inputs.schema):
            display.say(line)


def _write_rows(inputs: InputFiles, out: BinaryIO, rejected: RejectedLines, display: Display) -> int:
    writer = RowsWriter(out, inputs.head())
    for source, parsed in inputs.read(display.say):
        writer.write(parsed.batch)
        rejected.report(source.name, parsed.errors, display.say, inputs.what(source))
        display.show(inputs.position, lambda: f"{writer.examples:,} examples")
    if writer.examples:
        writer.finish(inputs.foot(writer.examples, writer.nonzeros))
    return writer.examples


def _write_slots(
    inputs: InputFiles, out: BinaryIO, form: str, bits: int, rejected: RejectedLines, display: Display
) -> int:
    from nonzero.formats.writing import slot_lines

    _check_writable(inputs, form)
    written = 0
    for source, parsed in inputs.read(display.say):
        lines = slot_lines(parsed.batch, bits, form)
        bad = [
            LineError(int(number), str(line))
            for number, line in zip(parsed.lines, lines, strict=True)
            if isinstance(line, InputError)
        ]
        good = [line for line in lines if isinstance(line, bytes)]
        out.write(b"".join(good))
        written += len(good)
        rejected.report(source.name, sorted([*parsed.errors, *bad]), display.say, inputs.what(source))
        display.show(inputs.position, f"{written:,} examples".format)
    return written


def _write_names(
    inputs: InputFiles, out: BinaryIO, form: str, rejected: RejectedLines, display: Display
) -> int:
    from nonzero.formats.writing import WRITERS

    writer = WRITERS[form](inputs.schema.namespace_separator)
    written = 0
    for source, found in inputs.read_named(display.say):
        lines, bad = writer.write(found)
        out.write(lines)
        written += len(found.rows) - len(bad)
        rejected.report(source.name, sorted([*found.parsed.errors, *bad]), display.say)
        display.show(inputs.position, f"{written:,} examples".format)
    if writer.numbers:
        numbers = ",".join(sorted(writer.numbers))
        display.say(f"numbers are words in {form}: read it with --number {numbers}")
    return written


def _check_writable(inputs: InputFiles, form: str) -> None:
    """Refuse to write words where there are no names.

    Raises
    ------
    click.BadParameter
        It names the way out.
    """
    if form == "vw":
        raise click.BadParameter(
            f"{inputs.sources[0].name} has hashed rows, whose names cannot be had back; write libsvm or "
            "ndjson, which have slots, or convert the text that it was made of",
            param_hint="OUTPUT",
        )


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
            f"{what}; name the file .rows, .vw, .ndjson or .libsvm, or give --to {'|'.join(FORMS)}",
            param_hint="OUTPUT",
        )
    return form


def _named(output: str) -> str:
    return "standard output" if output == STDIN else output
