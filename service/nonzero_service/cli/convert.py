"""``nonzero convert``: files of examples as hashed rows, which are read without parsing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from nonzero.errors import InputError
from nonzero.sources.compression import packing
from nonzero.sources.files import ROWS, STDIN, format_of
from nonzero.sources.rows_file import RowsWriter, whole_file
from nonzero_service.cli.display import Display
from nonzero_service.cli.input_files import InputFiles, files_like
from nonzero_service.cli.notices import RejectedLines, conflict_lines
from nonzero_service.cli.options import FILE_HELP, source_of
from nonzero_service.cli.reading import ReadingOptions, namespace_separator, reading


@click.command
@click.argument("files", metavar="FILE...", nargs=-1, required=True, help=FILE_HELP)
@click.argument(
    "output",
    metavar="OUTPUT",
    help="The file to write, named .rows, or .rows.zst or .rows.gz where it is to be compressed. - is "
    "standard output.",
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
def convert(
    files: Sequence[str],
    output: str,
    reading: ReadingOptions,
    namespace_separator: str | None,
    model: Path | None,
    allow_missing: bool,
) -> None:
    """Write files of examples as hashed rows, in one file.

    train and predict read a rows file several times as fast as text, and come to the same bits. It remembers
    the schema by which it was hashed. It has neither names nor ids, and they cannot be had back: keep the
    text.

    A line that cannot be read is reported on stderr and left out. OUTPUT is replaced when all is written;
    where something fails it stays as it was.
    """
    _check_output(output, files)
    sources = [source_of(file) for file in files]
    if model is None:
        inputs = InputFiles(sources, reading, namespace_separator)
    else:
        inputs = files_like(model, sources, reading, allow_missing=allow_missing)
    rejected = RejectedLines()
    with Display("converting", inputs.size) as display, _opened(output) as out:
        for note in inputs.notes:
            display.say(note)
        writer = RowsWriter(out, inputs.head())
        for source, parsed in inputs.read(display.say):
            writer.write(parsed.batch)
            rejected.report(source.name, parsed.errors, display.say, inputs.what(source))
            display.show(inputs.position, lambda: f"{writer.examples:,} examples")
        if not writer.examples:
            raise InputError(f"there is no example to write in {', '.join(one.name for one in sources)}")
        writer.finish(inputs.foot(writer.examples, writer.nonzeros))
        display.finish(inputs.position, f"{writer.examples:,} examples")
    rejected.finish(display.say)
    for line in conflict_lines(inputs.schema):
        display.say(line)


def _check_output(output: str, files: Sequence[str]) -> None:
    """Refuse an output that is not to be rows, that has no directory, or that is read as well.

    Raises
    ------
    click.BadParameter
        It names the way out.
    """
    if output == STDIN:
        return
    try:
        form = format_of(output)
    except InputError:
        form = ""
    path = Path(output)
    if form != ROWS and (path.is_file() or not path.exists()):
        raise click.BadParameter(
            f"{output} is not named as rows; name it {path.with_suffix('.rows')}, or take - and redirect it",
            param_hint="OUTPUT",
        )
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.absolute().parent}", param_hint="OUTPUT")
    if path.is_dir():
        raise click.BadParameter(f"{output} is a directory; name a file in it", param_hint="OUTPUT")
    for file in files:
        if file != STDIN and Path(file).exists() and path.exists() and path.samefile(file):
            raise click.BadParameter(
                f"{output} is one of the files that are read; name another", param_hint="OUTPUT"
            )


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    """Open what is written; packed as its name says."""
    if output == STDIN:
        with open(os.dup(1), "wb") as out:  # noqa: PTH123 - a descriptor, which is no path
            yield out
        return
    with whole_file(output) as file, packing(file, output) as out:
        yield out
