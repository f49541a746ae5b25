"""What ``nonzero join`` writes: rows as they were read, each with its label."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, BinaryIO, Final, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_values import cells_as_text
from nonzero.sources.compression import packing
from nonzero.sources.event_files import ColumnarEvents
from nonzero.sources.event_texts import ROW, DelimitedEvents, JsonEvents

EventRows: TypeAlias = DelimitedEvents | JsonEvents | ColumnarEvents

Write: TypeAlias = Callable[[Any, NDArray[np.uint8]], None]
"""Writes a table of rows, as events have them, with their labels, 0 or 1."""

WRITTEN: Final = ("csv", "ndjson", "parquet")
"""What can be written."""


def is_tabbed(output: str) -> bool:
    """Whether an output's name says that tabs stand between columns."""
    return ".tsv" in PurePath(output).suffixes[-2:]


def check_form(events: EventRows, output: str, form: str, label: str) -> None:
    """Refuse what cannot be written, before anything is read.

    Parameters
    ----------
    events
        What is read.
    output
        The name of what is written.
    form
        Its format: one of :data:`WRITTEN`.
    label
        The name of the new column.

    Raises
    ------
    click.BadParameter
        It names the way out.
    """
    name = events.source.name
    if isinstance(events, JsonEvents) != (form == "ndjson"):
        ways = ".ndjson" if form != "ndjson" else ".csv or .parquet"
        raise click.BadParameter(
            f"{name} is not written as {form}; name the output {ways}", param_hint="--output"
        )
    if isinstance(events, JsonEvents):
        if label != "label":
            raise click.BadParameter(
                f'an example in JSON has its label as "label", not {label!r}', param_hint="--label"
            )
        return
    if not label or {*label} & {*"\r\n"}:
        raise click.BadParameter(
            f"{label!r} is no name of a column; give one without line ends", param_hint="--label"
        )
    if label in events.names:
        raise click.BadParameter(
            f"{name} has a column {label!r} already; name another one, or leave that out",
            param_hint="--label",
        )
    if isinstance(events, DelimitedEvents) and is_tabbed(output) and events.delimiter != b"\t":
        raise click.BadParameter(
            f"{name} has {events.delimiter.decode()!r} between columns, and lines stay as they are; name the "
            "output .csv",
            param_hint="--output",
        )
    if isinstance(events, ColumnarEvents) and form == "csv":
        nested = [field.name for field in events.schema if import_arrow().types.is_nested(field.type)]
        if nested:
            raise click.BadParameter(
                f"the column {nested[0]!r} is {events.schema.field(nested[0]).type}, which no cell holds; "
                "write .parquet",
                param_hint="--output",
            )


@contextmanager
def labelled_writer(events: EventRows, out: BinaryIO, output: str, form: str, label: str) -> Iterator[Write]:
    """Begin a file of labelled rows.

    Parameters
    ----------
    events
        What the rows are of.
    out
        Where they are written to.
    output
        Its name, which tells whether text is compressed.
    form
        One of :data:`WRITTEN`.
    label
        The name of the new column.

    Yields
    ------
    callable
        See :data:`Write`. The file is whole when the block has ended.
    """
    if form == "parquet" and not isinstance(events, JsonEvents):
        arrow = import_arrow()
        schema = _schema_of(events).append(arrow.field(label, arrow.int8()))
        with arrow.parquet.ParquetWriter(out, schema) as writer:
            yield lambda table, labels: writer.write_table(
                _columns_of(events, table).append_column(
                    schema.field(label), arrow.array(labels.astype(np.int8))
                )
            )
        return
    with packing(out, output) as text:
        if isinstance(events, JsonEvents):
            yield lambda table, labels: _write_json(text, table, labels)
        elif isinstance(events, DelimitedEvents):
            text.write(events.header + events.delimiter + _cell(label, events.delimiter) + b"\n")
            yield lambda table, labels: _write_records(text, table, labels, events.delimiter)
        else:
            delimiter = "\t" if is_tabbed(output) else ","
            text.write(_records([[name.encode() for name in (*events.names, label)]], delimiter))
            yield lambda table, labels: _write_cells(text, table, labels, delimiter)


def _write_json(out: BinaryIO, table: Any, labels: NDArray[np.uint8]) -> None:
    lines = []
    for row, label in zip(table[ROW].to_pylist(), labels.tolist(), strict=True):
        members = row.rstrip()[:-1].rstrip()
        lines.append(b'%b%b"label": %d}\n' % (members, b"" if members == b"{" else b", ", label))
    out.write(b"".join(lines))


def _write_records(out: BinaryIO, table: Any, labels: NDArray[np.uint8], delimiter: bytes) -> None:
    ends = (delimiter + b"0\n", delimiter + b"1\n")
    rows = zip(table[ROW].to_pylist(), labels.tolist(), strict=True)
    out.write(b"".join([row + ends[label] for row, label in rows]))


def _write_cells(out: BinaryIO, table: Any, labels: NDArray[np.uint8], delimiter: str) -> None:
    columns = [
        cells_as_text(column.combine_chunks(), name)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    out.write(_records(zip(*columns, labels.astype("S1").tolist(), strict=True), delimiter))


def _records(rows: Any, delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([cell.decode("utf-8", "surrogateescape") for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _cell(text: str, delimiter: bytes) -> bytes:
    special = {*text.encode()} & {*b'"\n\r', delimiter[0]}
    return b'"%b"' % text.encode().replace(b'"', b'""') if special else text.encode()


def _schema_of(events: DelimitedEvents | ColumnarEvents) -> Any:
    """Return the columns of what is written as columns: of delimited text, all are text."""
    if isinstance(events, ColumnarEvents):
        return events.schema
    arrow = import_arrow()
    return arrow.schema([(name, arrow.string()) for name in events.names])


def _columns_of(events: DelimitedEvents | ColumnarEvents, table: Any) -> Any:
    if not isinstance(events, DelimitedEvents):
        return table
    arrow = import_arrow()
    rows = [events.cells(record) for record in table[ROW].to_pylist()]
    columns = [
        arrow.array([row[place].decode(errors="replace") for row in rows], arrow.string())
        for place in range(len(events.names))
    ]
    return arrow.Table.from_arrays(columns, schema=_schema_of(events))
