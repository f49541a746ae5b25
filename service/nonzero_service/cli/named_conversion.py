"""Text with names, NDJSON and VW text, as tables: a column for each field, where that says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

import click
import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, Schema, formats
from nonzero.errors import LineError
from nonzero.formats import Parsed
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_rows import ArrowRows
from nonzero.formats.delimited_labels import LABELS
from nonzero.formats.named_rows import NamedRows
from nonzero.formats.named_tables import Cell, TableColumns, cells_of_rows
from nonzero.formats.writing import number_text
from nonzero.sources.table_features import line_numbers
from nonzero.sources.table_rows import record_of
from nonzero_service.cli.conversions import ExamplesConversion
from nonzero_service.cli.display import Display
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.scoring import check_again
from nonzero_service.cli.table_conversion import written_and_read
from nonzero_service.cli.table_output import check_output_form, columns_writer, option_of


class NamedConversion(ExamplesConversion):
    """Writes text with names as a table.

    The files are read twice: which fields there are is known when all has been read.

    Parameters
    ----------
    inputs
        The files, as they are read first.
    anew
        Opens them once more.
    form
        What is written: one of :data:`nonzero_service.cli.table_output.WRITTEN`.
    output
        The file's name.

    Raises
    ------
    click.BadParameter
        For files without names, or that can be read only once, and for what cannot be written so.
    """

    def __init__(self, inputs: InputFiles, anew: Callable[[], InputFiles], form: str, output: str) -> None:
        super().__init__(inputs)
        check_output_form(form, output, "OUTPUT")
        check_again(inputs.sources, "its fields are looked for before they are written")
        if "libsvm" in inputs.formats:
            raise click.BadParameter(
                "libsvm has no names, by which columns would be called; write ndjson, which has slots",
                param_hint="OUTPUT",
            )
        self.form, self.output = form, output
        self._is_text = form in ("csv", "tsv")
        self._anew = anew
        self._again: InputFiles | None = None
        self._delimiter = b"\t" if form == "tsv" else b","

    @property
    def size(self) -> int | None:
        """How many bytes there are to read: twice what the files have."""
        return 2 * self.inputs.known_size

    @property
    def position(self) -> int:
        """How many of them have been read."""
        return self.inputs.position + (0 if self._again is None else self._again.position)

    def write(self, out: BinaryIO, rejected: RejectedLines, display: Display) -> int:
        """Write all rows that are read alike, as :meth:`Conversion.write`."""
        columns = TableColumns(self.inputs.schema.namespace_separator, lists=not self._is_text)
        for _, found in self.inputs.read_named(display.say):
            columns.look(found.rows)
            display.show(self.position, "looking for fields".format)
        self._columns, self._schema = columns, _schema_of(columns)
        self._again, written = self._anew(), 0
        with self._begun(out) as write:
            for source, found in self._again.read_named(lambda _: None):
                rows, errors = self._alike(found)
                write(rows)
                written += len(rows)
                rejected.report(
                    source.name,
                    sorted([*found.parsed.errors, *errors]),
                    display.say,
                    self.inputs.what(source),
                )
                display.show(self.position, partial("{:,} examples".format, written))
        return written

    def remarks(self) -> Iterator[str]:
        """Yield how the table is to be read."""
        yield from super().remarks()
        options = [*_options(self._columns), *option_of(self._columns.names, self.form)]
        if options:
            yield f"read it with {' '.join(options)}"

    @contextmanager
    def _begun(self, out: BinaryIO) -> Iterator[Callable[[list[list[Cell]]], object]]:
        """Begin the file; what is yielded writes rows of cells."""
        if self._is_text:
            out.write(self._header)
            yield lambda rows: out.write(b"".join([record + b"\n" for record in self._records(rows)]))
            return
        with columns_writer(_arrow_schema(self._columns), out, self.form, self.output) as write:
            yield lambda rows: write(_arrow_table(self._columns, rows))

    @property
    def _header(self) -> bytes:
        return record_of([name.encode() for name in self._columns.names], self._delimiter) + b"\n"

    def _records(self, rows: Sequence[Sequence[Cell]]) -> list[bytes]:
        return [record_of([_text_of(cell) for cell in row], self._delimiter) for row in rows]

    def _alike(self, found: NamedRows) -> tuple[list[list[Cell]], list[LineError]]:
        """Return the cells of the rows that are read as the same then, and what is wrong with others."""
        cells, errors = cells_of_rows(self._columns, found)
        places = list(cells)
        again, numbers = self._read([*cells.values()])
        read = dict(zip(np.searchsorted(numbers, again.lines).tolist(), range(len(again.batch)), strict=True))
        for k, place in enumerate(places):
            if k not in read or _key(again.batch, read[k]) != _key(found.parsed.batch, place):
                del cells[place]
                reason = f"as {self.form} it would not be read as the same features"
                errors.append(LineError(int(found.parsed.lines[place]), reason))
        return [*cells.values()], errors

    def _read(self, rows: list[list[Cell]]) -> tuple[Parsed, NDArray[np.int64]]:
        """Write rows into memory, and return what they are read as there, and their lines."""
        roles: dict[str, Any] = dict(self._columns.roles)
        options = {**roles, "schema": self._schema, "boolean": (), "labels": "label" in roles}
        if not self._is_text:
            table = written_and_read(_arrow_table(self._columns, rows), self.form, self.output)
            reader = ArrowRows(table.schema, judged=True, **options)
            parts = [part for batch in table.to_batches() for part in reader.read(batch)]
            return Parsed.concatenate(parts), np.arange(1, len(rows) + 1)
        if "time" in roles:
            options["time_format"] = "ms"
        records = self._records(rows)
        text = formats.reader("csv", delimiter=self._delimiter.decode(), **options)
        parts = [text.feed(self._header + b"".join([record + b"\n" for record in records])), text.finish()]
        return Parsed.concatenate(parts), line_numbers(self._header, records)


def _schema_of(columns: TableColumns) -> Schema:
    """Return a schema by which the columns are what they were made of."""
    called = [name for name in columns.names if name.lower() in LABELS and name not in columns.roles.values()]
    return Schema(dict.fromkeys(called, "category") | dict.fromkeys(columns.numbers, "number"), "category")


def _options(columns: TableColumns) -> list[str]:
    """Return the options by which the table is read as the same."""
    roles = dict(columns.roles)
    called = [name for name in columns.names if name.lower() in LABELS]
    if roles.get("label") in called and len(called) == 1:
        del roles["label"]
    if "time" in roles:
        roles["time"] += ":ms"
    said = [f"--{role} {name}" for role, name in roles.items()]
    return [*said, *([f"--number {','.join(columns.numbers)}"] if columns.numbers else [])]


def _text_of(cell: Cell) -> bytes:
    if isinstance(cell, float):
        return number_text(cell)
    return b"" if cell is None else str(cell).encode()


def _arrow_schema(columns: TableColumns) -> Any:
    arrow = import_arrow()
    of_roles = {"label": arrow.int8(), "weight": arrow.float32(), "id": arrow.string(), "time": arrow.int64()}
    types = [(name, of_roles[role]) for role, name in columns.roles.items()]
    for name, field in columns.fields.items():
        kind = arrow.float32() if field.is_number else arrow.string()
        types.append((name.decode(errors="replace"), arrow.list_(kind) if columns.is_list(name) else kind))
    return arrow.schema(types)


def _arrow_table(columns: TableColumns, rows: list[list[Cell]]) -> Any:
    arrow = import_arrow()
    schema = _arrow_schema(columns)
    by_column = zip(*rows, strict=True) if rows else [()] * len(schema)
    whole = {
        schema.get_field_index(columns.roles[role]) for role in ("label", "time") if role in columns.roles
    }
    arrays = [
        arrow.array(
            [None if cell is None else int(str(cell)) for cell in cells] if k in whole else cells, kind
        )
        for k, (cells, kind) in enumerate(zip(by_column, schema.types, strict=True))
    ]
    return arrow.Table.from_arrays(arrays, schema=schema)


def _key(batch: Batch, r: int) -> tuple[Any, ...]:
    """Return all that is learned of a row, whatever the order of its features; and its id and time."""
    span = slice(batch.indptr[r], batch.indptr[r + 1])
    values = batch.explicit_values()[span].tolist()
    return (
        sorted(zip(batch.indices[span].tolist(), values, strict=True)),
        sorted([] if batch.fields is None else batch.fields[span].tolist()),
        batch.labels[r].tobytes(),
        batch.weights[r].tobytes(),
        None if batch.ids is None else batch.ids[r],
        -1 if batch.times is None else int(batch.times[r]),
    )
