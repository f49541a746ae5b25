"""Whole rows of tables, as they were written: records of delimited text, or record batches of columns."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple, TypeAlias

from nonzero.errors import FormatError, InputError, LineError
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_types import is_binary, is_view, plain
from nonzero.formats.arrow_values import cells_as_text
from nonzero.formats.delimited_text import LongRecord, split_cells
from nonzero.formats.reading import BYTE_ORDER_MARK, MAX_LINE
from nonzero.formats.registry import COLUMNAR, DELIMITED
from nonzero.sources.columnar import ColumnarFile
from nonzero.sources.files import Source
from nonzero.sources.pipeline import ahead
from nonzero.sources.tables import head_of

ROW: Final = "row"
"""The column that holds records of text, as they stand there, without their ends."""


class TextTable:
    r"""A file of delimited text.

    Parameters
    ----------
    source
        The file.
    form
        Its format: one of :data:`nonzero.formats.registry.DELIMITED`.
    delimiter
        What stands between columns; None where the header, or the format, tells it.
    columns
        The names of the columns of text without a header, none for ``c1``, ``c2`` and so on. None: it has
        one.

    Attributes
    ----------
    names
        The names of the columns.
    header
        The line that says them.
    delimiter
        What stands between them.

    Raises
    ------
    FormatError
        For a header that cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as place:
    ...     file = Path(place, "clicks.csv")
    ...     _ = file.write_text("id,site\n007,news\n")
    ...     table = TextTable(Source(file))
    ...     table.names, [records for records in table.blocks()]
    (['id', 'site'], [[(2, b'007,news')]])
    """

    def __init__(
        self,
        source: Source,
        form: str = "csv",
        delimiter: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        self.source = source
        source.format = form
        head, self._skipped = head_of(source, labels=False, delimiter=delimiter, columns=columns)
        self.names, self.delimiter = head.columns, head.delimiter
        if not self.names:
            raise FormatError(f"{source.name} is empty: there is no header that names its columns")
        before = source.peek(self._skipped)[: self._skipped]
        self._lines = before.count(b"\n")
        line = before.rstrip(b"\r\n").rpartition(b"\n")[2].removeprefix(BYTE_ORDER_MARK)
        self.header = record_of([name.encode() for name in self.names], self.delimiter)
        if not head.headless:
            self.header = line

    @property
    def schema(self) -> Any:
        """The columns, a ``pyarrow.Schema``: all of them are text."""
        arrow = import_arrow()
        return arrow.schema([(name, arrow.string()) for name in self.names])

    def cells(self, record: bytes) -> list[bytes]:
        """Return the cells of a record.

        Parameters
        ----------
        record
            Without its line end.

        Raises
        ------
        InputError
            Where there is nothing but blanks, a quote is wrong, or there are more or fewer than columns.
        """
        if not record.strip():
            raise InputError("the line is empty")
        cells = split_cells(record, self.delimiter)
        if len(cells) != len(self.names):
            raise InputError(f"the line has {len(cells)} cells, the header {len(self.names)}")
        return cells

    def columns_of(self, table: Any) -> Any:
        """Return the columns of records as text, a ``pyarrow.Table``.

        Parameters
        ----------
        table
            A ``pyarrow.Table`` of records in the column :data:`ROW`.
        """
        arrow = import_arrow()
        rows = [self.cells(record) for record in table[ROW].to_pylist()]
        columns = [
            arrow.array([row[place].decode(errors="replace") for row in rows], arrow.string())
            for place in range(len(self.names))
        ]
        return arrow.Table.from_arrays(columns, schema=self.schema)

    def blocks(self) -> Iterator[list[tuple[int, bytes]]]:
        """Yield records with the numbers of their lines, a block at a time.

        Raises
        ------
        FormatError
            For one that is too long.
        """
        rest, line, skip = b"", self._lines + 1, self._skipped
        for block in self.source:
            behind = block[skip:]
            skip -= len(block) - len(behind)
            lines = (rest + behind).split(b"\n")
            rest = lines.pop()
            found, used = self._joined(lines, line)
            if used < len(lines):  # the last record goes on
                rest = b"\n".join([*lines[used:], rest])
            if len(rest) > MAX_LINE:
                raise FormatError(
                    f"{self.source.name}, line {line + used}: a record is longer than {MAX_LINE:,} bytes; "
                    "close the quote in it"
                )
            line += used
            yield found
        if rest:
            yield [(line, rest.removesuffix(b"\r"))]

    def _joined(self, lines: Sequence[bytes], line: int) -> tuple[list[tuple[int, bytes]], int]:
        """Return records, those with line ends in quotes joined, and how many lines they are made of."""
        found: list[tuple[int, bytes]] = []
        k = 0
        while k < len(lines):
            first = k
            if b'"' in lines[k]:
                record = LongRecord(self.delimiter)
                while not record.end_in(lines[k] + b"\n"):
                    k += 1
                    if k == len(lines):
                        return found, first
            k += 1
            found.append((line + first, b"\n".join(lines[first:k]).removesuffix(b"\r")))
        return found, len(lines)

    def read(self) -> Generator[TablePart, None, None]:
        """Yield its rows, a block at a time."""
        with closing(ahead(self.blocks())) as blocks:
            for records in blocks:
                rows, lines, errors = [], [], []
                for line, record in records:
                    try:
                        self.cells(record)
                    except InputError as error:
                        errors.append(LineError(line, str(error)))
                        continue
                    rows.append(record)
                    lines.append(line)
                yield TablePart(records_as_table(rows), lines, errors)


class ColumnTable:
    """A Parquet or Arrow file.

    Parameters
    ----------
    source
        The file.
    form
        ``"parquet"`` or ``"arrow"``.

    Attributes
    ----------
    names
        The names of the columns.
    schema
        Their names and types, a ``pyarrow.Schema``: those of dictionaries and runs as what they stand for.

    Raises
    ------
    FormatError
        Where it is none.
    """

    def __init__(self, source: Source, form: str) -> None:
        self.source = source
        self._file = ColumnarFile.of(source, form)
        arrow = import_arrow()
        self.names: list[str] = self._file.schema.names
        self.schema = arrow.schema([field.with_type(_kept(field.type)) for field in self._file.schema])

    def columns_of(self, table: Any) -> Any:
        """Return the columns of some rows: they are columns."""
        return table

    def batches(self) -> Generator[tuple[Any, Any], None, None]:
        """Yield its record batches, and each as a table of :attr:`schema`."""
        arrow = import_arrow()
        with closing(ahead(self._file.batches(self.names))) as batches:
            for batch in batches:
                yield batch, arrow.Table.from_batches([batch]).cast(self.schema)

    def read(self) -> Generator[TablePart, None, None]:
        """Yield its rows, a record batch at a time."""
        row = 1
        for _, table in self.batches():
            yield TablePart(table, range(row, row + table.num_rows), ())
            row += table.num_rows


class TablePart(NamedTuple):
    """Some rows of a table, in its order."""

    table: Any
    """A ``pyarrow.Table``: records in the column :data:`ROW`, or columns."""
    lines: Sequence[int]
    """The number of each row: of its line, or its row."""
    errors: Sequence[LineError]
    """The lines that are none."""


TableFile: TypeAlias = TextTable | ColumnTable


def table_file(
    source: Source, form: str, delimiter: str | None = None, columns: Sequence[str] | None = None
) -> TableFile:
    """Return the rows of a table.

    Parameters
    ----------
    source
        The file.
    form
        Its format: one of :data:`nonzero.formats.registry.TABLES`.
    delimiter, columns
        As for :class:`TextTable`; of no use for columns.

    Raises
    ------
    FormatError
        For another format, and for a file that cannot be used.
    """
    if form in COLUMNAR:
        return ColumnTable(source, form)
    if form in DELIMITED:
        return TextTable(source, form, delimiter, columns)
    raise FormatError(f"{source.name} is {form}, which is no table; give csv, tsv, parquet or arrow")


def records_as_table(records: Sequence[bytes]) -> Any:
    """Return records of text as a ``pyarrow.Table``, in its column :data:`ROW`.

    Parameters
    ----------
    records
        Without their line ends.
    """
    arrow = import_arrow()
    return arrow.table({ROW: arrow.array(records, arrow.large_binary())})


def record_of(cells: Sequence[bytes], delimiter: bytes) -> bytes:
    r"""Write cells as a record of delimited text, without its line end.

    Parameters
    ----------
    cells
        The cells.
    delimiter
        What stands between them.

    Examples
    --------
    >>> record_of([b"1,5", b"say 'hi'", b"x"], b",")
    b'"1,5",say \'hi\',x'
    """
    special = {delimiter[0], *b'"\r\n'}
    record = delimiter.join([cell if special.isdisjoint(cell) else _quoted(cell) for cell in cells])
    # A line of blanks would be none.
    return record if record.strip() else delimiter.join([_quoted(cells[0]), *cells[1:]])


def _quoted(cell: bytes) -> bytes:
    return b'"%b"' % cell.replace(b'"', b'""')


def cells_of(table: Any) -> Iterator[tuple[bytes, ...]]:
    """Yield the cells of each row of columns, as delimited text has them.

    Parameters
    ----------
    table
        A ``pyarrow.Table`` without columns of lists.
    """
    columns = [
        cells_as_text(column.combine_chunks(), name)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return zip(*columns, strict=True)


def _kept(kind: Any) -> Any:
    """Return the type that a column is kept in: one of which pyarrow can take rows."""
    arrow = import_arrow()
    kind = plain(kind)
    if is_view(kind):
        return arrow.large_binary() if is_binary(kind) else arrow.large_string()
    return kind
