"""Rows of tables as files: their columns as they are, and where they are labelled one more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, BinaryIO, Final, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from nonzero.errors import FormatError
from nonzero.formats.arrow_import import import_arrow
from nonzero.sources.files import STDIN
from nonzero.sources.table_rows import ROW, ColumnTable, TableFile, TextTable, cells_of, record_of

WRITTEN: Final = ("csv", "tsv", "parquet", "arrow")
"""What tables can be written as."""

Write: TypeAlias = Callable[[Any, NDArray[np.uint8] | None], None]
"""Writes rows of a table, as :class:`~nonzero.sources.table_rows.TablePart` has them, with their labels, 0 or
1, where there is a column for them."""

_PACKED: Final = {".gz", ".zst"}

_STREAMS: Final = ".arrows"


def check_table_output(table: TableFile, form: str, output: str, hint: str) -> None:
    """Refuse what cannot be written, before anything is read.

    Parameters
    ----------
    table
        What is read.
    form
        What is written: one of :data:`WRITTEN`.
    output
        The file's name.
    hint
        The option or argument that named it.

    Raises
    ------
    click.BadParameter
        It names the way out.
    """
    check_output_form(form, output, hint)
    if isinstance(table, ColumnTable) and form in ("csv", "tsv"):
        nested = [field.name for field in table.schema if import_arrow().types.is_nested(field.type)]
        if nested:
            raise click.BadParameter(
                f"the column {nested[0]!r} is {table.schema.field(nested[0]).type}, which no cell holds; "
                "write .parquet or .arrow",
                param_hint=hint,
            )


def check_output_form(form: str, output: str, hint: str) -> None:
    """Refuse Parquet where it could not be read again: it is read from its end.

    Parameters
    ----------
    form, output, hint
        As for :func:`check_table_output`.

    Raises
    ------
    click.BadParameter
        It names the way out.
    """
    if form == "parquet" and (output == STDIN or PurePath(output).suffix.lower() in _PACKED):
        raise click.BadParameter(
            "Parquet is a plain file, which is packed by itself; name the file .parquet, or write csv or "
            "arrow",
            param_hint=hint,
        )


def check_same_rows(first: TableFile, other: TableFile) -> None:
    """Refuse files that are not of the same rows, and so cannot be written as one.

    Parameters
    ----------
    first, other
        Two files of a log.

    Raises
    ------
    FormatError
        It names what differs.
    """
    names = [first.source.name, other.source.name]
    if first.names != other.names:
        raise FormatError(
            f"{names[0]} has the columns {', '.join(first.names)}, and {names[1]} {', '.join(other.names)}; "
            "give files of the same columns, in the same order"
        )
    if isinstance(first, TextTable) and isinstance(other, TextTable):
        if first.delimiter != other.delimiter:
            raise FormatError(
                f"in {names[0]} {first.delimiter.decode()!r} stands between columns, in {names[1]} "
                f"{other.delimiter.decode()!r}; give files that are alike"
            )
    elif isinstance(first, TextTable) or isinstance(other, TextTable):
        raise FormatError(f"{names[0]} and {names[1]} are text and columns; give files of one kind")
    elif not first.schema.equals(other.schema):
        types = zip(first.schema, other.schema, strict=True)
        one, another = next(pair for pair in types if not pair[0].equals(pair[1]))
        raise FormatError(
            f"the column {one.name!r} is {one.type} in {names[0]}, and {another.type} in {names[1]}; give "
            "files of the same columns"
        )


@contextmanager
def table_writer(
    table: TableFile, out: BinaryIO, form: str, output: str, label: str | None = None
) -> Iterator[Write]:
    """Begin a file of a table's rows.

    Parameters
    ----------
    table
        What the rows are of.
    out
        Where they are written to.
    form
        One of :data:`WRITTEN`.
    output
        The file's name: of Arrow, ``.arrows`` and standard output are streams, others are files.
    label
        The name of one more column, of the labels. None: there is none.

    Yields
    ------
    callable
        See :data:`Write`. The file is whole when the block has ended.
    """
    if form in ("parquet", "arrow"):
        with columns_writer(_with_label(table.schema, label), out, form, output) as write:
            yield lambda rows, labels: write(_labelled(table.columns_of(rows), label, labels))
        return
    more = [] if label is None else [label.encode()]
    delimiter = text_delimiter(table, form)
    if isinstance(table, TextTable) and delimiter == table.delimiter:
        out.write(delimiter.join([table.header, *([record_of(more, delimiter)] if more else [])]) + b"\n")
        ends = (delimiter + b"0\n", delimiter + b"1\n")
        yield lambda rows, labels: _write_records(out, rows, labels, ends)
        return
    out.write(record_of([*(name.encode() for name in table.names), *more], delimiter) + b"\n")
    yield lambda rows, labels: _write_cells(out, table, rows, labels, delimiter)


@contextmanager
def columns_writer(schema: Any, out: BinaryIO, form: str, output: str) -> Iterator[Callable[[Any], None]]:
    """Begin a Parquet or Arrow file.

    Parameters
    ----------
    schema
        The columns, a ``pyarrow.Schema``.
    out, form, output
        As for :func:`table_writer`.

    Yields
    ------
    callable
        Writes a ``pyarrow.Table`` of these columns.
    """
    arrow = import_arrow()
    if form == "parquet":
        begun = arrow.parquet.ParquetWriter(out, schema)
    elif is_stream(output):
        begun = arrow.ipc.new_stream(out, schema)
    else:
        begun = arrow.ipc.new_file(out, schema)
    with begun as writer:
        yield writer.write_table


def is_stream(output: str) -> bool:
    """Whether Arrow is written as a stream under a name, and not as a file.

    Parameters
    ----------
    output
        The file's name.
    """
    path = PurePath(output)
    plain = path.with_suffix("") if path.suffix.lower() in _PACKED else path
    return output == STDIN or plain != path or plain.suffix.lower() == _STREAMS


def text_delimiter(table: TableFile, form: str) -> bytes:
    """Return what stands between the columns of text that is written.

    Parameters
    ----------
    table
        What is read; as csv, its own delimiter stays.
    form
        ``"csv"`` or ``"tsv"``.
    """
    if form == "tsv":
        return b"\t"
    own = table.delimiter if isinstance(table, TextTable) else b","
    return b"," if own == b"\t" else own


def _with_label(schema: Any, label: str | None) -> Any:
    arrow = import_arrow()
    return schema if label is None else schema.append(arrow.field(label, arrow.int8()))


def _labelled(columns: Any, label: str | None, labels: NDArray[np.uint8] | None) -> Any:
    if label is None or labels is None:
        return columns
    arrow = import_arrow()
    return columns.append_column(arrow.field(label, arrow.int8()), arrow.array(labels.astype(np.int8)))


def _write_records(
    out: BinaryIO, rows: Any, labels: NDArray[np.uint8] | None, ends: tuple[bytes, bytes]
) -> None:
    records = rows[ROW].to_pylist()
    if labels is None:
        out.write(b"".join([record + b"\n" for record in records]))
    else:
        pairs = zip(records, labels.tolist(), strict=True)
        out.write(b"".join([record + ends[label] for record, label in pairs]))


def _write_cells(
    out: BinaryIO, table: TableFile, rows: Any, labels: NDArray[np.uint8] | None, delimiter: bytes
) -> None:
    if isinstance(table, TextTable):
        cells = [table.cells(record) for record in rows[ROW].to_pylist()]
    else:
        cells = [[*row] for row in cells_of(rows)]
    if labels is not None:
        for row, label in zip(cells, labels.tolist(), strict=True):
            row.append(b"%d" % label)
    out.write(b"".join([record_of(row, delimiter) + b"\n" for row in cells]))
