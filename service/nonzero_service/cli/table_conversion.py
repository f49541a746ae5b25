"""Tables as other tables: the columns stay as they are, and no text is rewritten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO

import click

from nonzero.errors import LineError
from nonzero.formats.arrow_import import import_arrow, import_parquet
from nonzero.formats.registry import COLUMNAR, TABLES
from nonzero.sources.files import Source, total_size
from nonzero.sources.table_features import RowFeatures, TableFeatures, differing
from nonzero.sources.table_rows import ROW, ColumnTable, TableFile, TablePart, TextTable, table_file
from nonzero_service.cli.display import Display
from nonzero_service.cli.input_files import is_rows
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.reading import ReadingOptions
from nonzero_service.cli.table_output import (
    check_same_rows,
    check_table_output,
    columns_writer,
    is_stream,
    option_of,
    table_writer,
    written_text,
)


def are_tables(sources: Sequence[Source], reading: ReadingOptions) -> bool:
    """Whether files are tables, all of them."""
    return all(not is_rows(one, reading) and reading.format_of(one) in TABLES for one in sources)


class TableConversion:
    """Writes tables as one of another format.

    Parameters
    ----------
    sources
        The files: of the same columns, in the same order.
    reading
        What text they are.
    form
        What is written: one of :data:`nonzero_service.cli.table_output.WRITTEN`.
    output
        The file's name.

    Raises
    ------
    click.BadParameter
        For what cannot be written so.
    FormatError
        For files that cannot be read, or are not alike.
    """

    def __init__(self, sources: Sequence[Source], reading: ReadingOptions, form: str, output: str) -> None:
        _check_declares_nothing(reading)
        self.form, self.output = form, output
        self.tables: list[TableFile] = []
        for source in sources:
            table = table_file(source, reading.format_of(source), **reading.layout_of(source))
            check_same_rows(self.tables[0] if self.tables else table, table)
            check_table_output(table, form, output, "OUTPUT")
            self.tables.append(table)
        self._features = _features_of(self.tables[0])
        self.notes = [*_notes(sources, reading, form)]

    @property
    def size(self) -> int | None:
        """How many bytes there are to read; None where nobody knows."""
        return total_size(table.source for table in self.tables)

    @property
    def position(self) -> int:
        """How many of them have been read."""
        return sum(table.source.position for table in self.tables)

    def write(self, out: BinaryIO, rejected: RejectedLines, display: Display) -> int:
        """Write all rows that are read alike; return how many these are.

        Parameters
        ----------
        out
            Where they are written to.
        rejected
            Counts the others.
        display
            Shows how far it is.
        """
        written = 0
        with table_writer(self.tables[0], out, self.form, self.output) as write:
            for table in self.tables:
                for part in table.read():
                    rows, errors = self._alike(table, part)
                    write(rows, None)
                    written += rows.num_rows
                    what = "row" if isinstance(table, ColumnTable) else "line"
                    rejected.report(table.source.name, errors, display.say, what)
                    display.show(self.position, partial("{:,} examples".format, written))
        return written

    def remarks(self) -> Iterator[str]:
        """Yield how the table is to be read, where that has to be said."""
        first = self.tables[0]
        if isinstance(first, ColumnTable) or first.delimiter == b"\t":
            yield from (f"read it with {option}" for option in option_of(first.names, self.form))

    def _alike(self, table: TableFile, part: TablePart) -> tuple[Any, list[LineError]]:
        """Return the rows that are read as the same once they are written, and what is wrong with others."""
        errors = [*part.errors]
        bad = differing(self._as_read(table, part.table), self._as_written(table, part.table))
        if not bad:
            return part.table, errors
        other = f"as {self.form} it would not be read as the same"
        errors += [LineError(part.lines[place], reason or other) for place, reason in bad.items()]
        kept = [place not in bad for place in range(part.table.num_rows)]
        return part.table.filter(import_arrow().array(kept)), sorted(errors)

    def _as_read(self, table: TableFile, rows: Any) -> RowFeatures:
        if isinstance(table, TextTable):
            return self._features.of_text(table.header + b"\n", rows[ROW].to_pylist(), table.delimiter)
        return self._features.of_columns(rows)

    def _as_written(self, table: TableFile, rows: Any) -> RowFeatures:
        """Write rows into memory, and read them as what they are there."""
        if self.form in ("csv", "tsv"):
            return self._features.of_text(*written_text(table, self.form, rows))
        columns = table.columns_of(rows)
        return self._features.of_columns(written_and_read(columns, self.form, self.output))


def written_and_read(columns: Any, form: str, output: str) -> Any:
    """Write columns into memory, and return them as they are read there.

    Parameters
    ----------
    columns
        A ``pyarrow.Table``.
    form
        ``"parquet"`` or ``"arrow"``.
    output
        The name of the file that they are for.
    """
    memory = BytesIO()
    with columns_writer(columns.schema, memory, form, output) as write:
        write(columns)
    if form == "parquet":
        return import_parquet().read_table(BytesIO(memory.getvalue()))
    ipc = import_arrow().ipc
    read = ipc.open_stream if is_stream(output) else ipc.open_file
    return read(memory.getvalue()).read_all()


def _check_declares_nothing(reading: ReadingOptions) -> None:
    """Refuse options that say what columns are: nothing becomes of them here.

    Raises
    ------
    click.BadParameter
        It names the first one.
    """
    layout = ("format", "delimiter", "no_header", "columns", "layout")
    default = ReadingOptions()
    for one in fields(reading):
        given = getattr(reading, one.name)
        if one.name not in layout and given and given != getattr(default, one.name):
            raise click.BadParameter(
                "the columns of tables stay as they are; leave it out, and give it where they are read",
                param_hint=f"--{one.name.removesuffix('_text')}",
            )


def _features_of(table: TableFile) -> TableFeatures:
    return (
        TableFeatures(table.names) if isinstance(table, TextTable) else TableFeatures.of_schema(table.schema)
    )


def _notes(sources: Sequence[Source], reading: ReadingOptions, form: str) -> Iterator[str]:
    """Yield what there is to say of formats that make features of columns."""
    for name in dict.fromkeys(reading.format_of(source) for source in sources):
        if name in ("criteo", "avazu"):
            way = f"what {name} makes of columns is not in it: convert to ndjson for that"
            if form not in COLUMNAR:
                way = f"read it with --format {name}"
            yield f"the columns stay as they are; {way}"
