"""Rows of tables as files: their columns as they are, and where they are labelled one more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, BinaryIO, Final, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from nonzero.errors import FormatError
from nonzero.formats.arrow_import import import_arrow, import_parquet
from nonzero.sources.compression import unpacked_name
from nonzero.sources.files import STDIN
from nonzero.sources.table_rows import ROW, ColumnTable, TableFile, TextTable, cells_of, record_of

WRITTEN: Final = ("csv", "tsv", "parquet", "arrow")
"""What tables can be written as."""

Write: TypeAlias = Callable[[Any, NDArray[np.uint8] | None], object]
"""Writes rows of a table, as :class:`~nonzero.sources.table_rows.TablePart` has them, with their labels, 0 or
1, where there is a column for them."""

_ROWS_AT_ONCE: Final = 1 << 16
"""So many rows at least are a row group of Parquet, or a record batch of Arrow."""

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
    if form == "parquet" and (output == STDIN or unpacked_name(output) != PurePath(output)):
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
    out.write(_header_of(table, form, label))
    yield lambda rows, labels: out.write(b"".join(_ended(_records_of(table, form, rows, labels))))


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
        begun = import_parquet().ParquetWriter(out, schema)
    elif is_stream(output):
        begun = arrow.ipc.new_stream(out, schema)
    else:
        begun = arrow.ipc.new_file(out, schema)
    held: list[Any] = []

    def write(table: Any, least: int = _ROWS_AT_ONCE) -> None:
        held.append(table)
        if sum(one.num_rows for one in held) >= least:
            writer.write_table(arrow.concat_tables(held))
            held.clear()

    with begun as writer:
        yield write
        if held:
            write(schema.empty_table(), 0)


def is_stream(output: str) -> bool:
    """Whether Arrow is written as a stream under a name, and not as a file.

    Parameters
    ----------
    output
        The file's name.
    """
    path = PurePath(output)
    plain = unpacked_name(path)
    return output == STDIN or plain != path or plain.suffix.lower() == _STREAMS


def written_text(table: TableFile, form: str, rows: Any) -> tuple[bytes, list[bytes], bytes]:
    """Return the header, the records and the delimiter that rows are as delimited text.

    Parameters
    ----------
    table
        What the rows are of.
    form
        ``"csv"`` or ``"tsv"``.
    rows
        As :class:`~nonzero.sources.table_rows.TablePart` has them.
    """
    return _header_of(table, form), _records_of(table, form, rows), _delimiter_of(table, form)


def option_of(names: Sequence[str], form: str) -> list[str]:
    """Return the option that a reader needs where columns are called by what may stand between columns.

    Parameters
    ----------
    names
        The columns.
    form
        What is written, by commas where it is ``"csv"``.
    """
    return ["--delimiter comma"] if form == "csv" and any({*name} & {*";|\t"} for name in names) else []


def _delimiter_of(table: TableFile, form: str) -> bytes:
    """Return what stands between the columns of text; as csv, a table's own delimiter stays."""
    if form == "tsv":
        return b"\t"
    own = table.delimiter if isinstance(table, TextTable) else b","
    return b"," if own == b"\t" else own


def _header_of(table: TableFile, form: str, label: str | None = None) -> bytes:
    """Return the line that names the columns; as it stands, where its delimiter stays."""
    delimiter = _delimiter_of(table, form)
    header = record_of([name.encode() for name in table.names], delimiter)
    if isinstance(table, TextTable) and delimiter == table.delimiter:
        header = table.header
    return header + (b"" if label is None else delimiter + record_of([label.encode()], delimiter)) + b"\n"


def _records_of(
    table: TableFile, form: str, rows: Any, labels: NDArray[np.uint8] | None = None
) -> list[bytes]:
    """Return rows as records without their ends; those of text as they stand, where their delimiter stays."""
    delimiter = _delimiter_of(table, form)
    if not isinstance(table, TextTable):
        records = [record_of(cells, delimiter) for cells in cells_of(rows)]
    else:
        records = rows[ROW].to_pylist()
        if delimiter != table.delimiter:
            records = [record_of(table.cells(record), delimiter) for record in records]
    if labels is None:
        return records
    ends = (delimiter + b"0", delimiter + b"1")
    return [record + ends[label] for record, label in zip(records, labels.tolist(), strict=True)]


def _ended(records: Sequence[bytes]) -> list[bytes]:
    return [record + b"\n" for record in records]


def _with_label(schema: Any, label: str | None) -> Any:
    arrow = import_arrow()
    return schema if label is None else schema.append(arrow.field(label, arrow.int8()))


def _labelled(columns: Any, label: str | None, labels: NDArray[np.uint8] | None) -> Any:
    if label is None or labels is None:
        return columns
    arrow = import_arrow()
    return columns.append_column(arrow.field(label, arrow.int8()), arrow.array(labels.astype(np.int8)))
