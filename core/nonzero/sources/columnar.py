"""Columnar files, Parquet and Arrow IPC, as record batches in bounded memory, and as examples."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nonzero.errors import FormatError
from nonzero.formats.arrow_import import damaged, import_arrow, is_of_arrow
from nonzero.formats.arrow_types import Meaning, listed, meaning_of, plain
from nonzero.formats.arrow_values import cells_as_text
from nonzero.formats.judging import Judge
from nonzero.formats.parsed import Parsed
from nonzero.formats.thrift import DamagedError
from nonzero.sources.files import Source
from nonzero.sources.pipeline import ahead, at_once

if TYPE_CHECKING:  # imported where a file needs them: each format has many modules of its own
    from nonzero.formats.arrow_rows import ArrowRows
    from nonzero.formats.parquet_foot import Foot
    from nonzero.formats.parquet_rows import ParquetRows

CELLS_READ_AT_ONCE: Final = 1 << 22
"""About so many cells of a row group are decoded at once."""

SAMPLED_CELLS: Final = 200_000
"""About so many cells are looked at, at each of three places of a file."""

_ARROW_FILE: Final = b"ARROW1\0\0"
_OLD_FEATHER: Final = b"FEA1"
_PARQUET: Final = b"PAR1"

_DIFFERENCES: Final = frozenset(("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"))


class ColumnarFile:
    """A file of columns: Parquet, an Arrow IPC file (Feather), or an Arrow IPC stream.

    A stream may be compressed as a whole, and may be standard input. Parquet is read from its end, so that it
    must be a plain file; one whose columns are texts, numbers and truths is read by compiled code of our own,
    any other by pyarrow.

    Parameters
    ----------
    source
        The file.
    form
        ``"parquet"`` or ``"arrow"``.

    Raises
    ------
    FormatError
        Where it is none.
    MissingArrowError
        Where pyarrow is not installed.
    """

    def __init__(self, source: Source, form: str) -> None:
        self.source = source
        self.form = form
        start = source.peek(8)[:8]
        plain_file = source.size is not None and _begins_with(source.path, start)
        if form == "parquet" and not start.startswith(_PARQUET):
            raise FormatError(
                f"{source.name} is no Parquet file: it begins with {start[:4]!r}; "
                "Arrow IPC files and streams are of the format arrow"
            )
        if form == "parquet" and not plain_file:
            raise FormatError(
                f"{source.name} cannot be read as Parquet, which is read from its end: give it as a file, "
                "not compressed as a whole; or give an Arrow IPC stream, of the format arrow"
            )
        if start.startswith(_OLD_FEATHER):
            raise FormatError(
                f"{source.name} is Feather of version 1; write it anew, as version 2 or as Parquet"
            )
        self._is_file = form == "arrow" and start == _ARROW_FILE and plain_file
        self._ahead: list[Any] = []
        self._stream: Any = None

    @classmethod
    def of(cls, source: Source, form: str) -> ColumnarFile:
        """Return the one of a source, which is made at the first call: a stream is opened but once."""
        found = source.columns
        if not isinstance(found, ColumnarFile):
            found = source.columns = cls(source, form)
        return found

    @cached_property
    def foot(self) -> Foot | None:
        """Where what stands, of Parquet that is read without pyarrow; None for any other file."""
        if self.form != "parquet":
            return None
        from nonzero.formats.parquet_foot import read_foot

        with self._said():
            return read_foot(self.source.path)

    @cached_property
    def schema(self) -> Any:
        """The names and types of its columns, a ``pyarrow.Schema``."""
        arrow = import_arrow()
        with self._said():
            if self.form == "parquet":
                with self._parquet(()) as file:
                    return file.schema_arrow
            if self._is_file:
                with arrow.memory_map(str(self.source.path)) as mapped:
                    return arrow.ipc.open_file(mapped).schema
            return self._opened().schema

    def batches(self, columns: Sequence[str]) -> Generator[Any, None, None]:
        """Yield its record batches, with some columns.

        Parameters
        ----------
        columns
            Their names; of a stream the other columns come too.

        Raises
        ------
        FormatError
            Where it is damaged.
        """
        with self._said():
            if self.form == "parquet":
                yield from self._row_groups(columns)
            elif self._is_file:
                yield from self._file_batches(columns)
            else:
                yield from self._ahead
                self._ahead.clear()
                for batch in self._opened():
                    batch.validate(full=True)
                    yield batch

    def look(self, judge: Judge, columns: Sequence[str]) -> None:
        """Show a judge the cells of some rows, as delimited text has them: at its beginning, middle and end.

        Of a stream those of its beginning, which is kept and read again. Lists, and what is no feature, are
        empty cells.

        Parameters
        ----------
        judge
            Who looks at them.
        columns
            All columns of the file, in their order.
        """
        rows = max(SAMPLED_CELLS // max(len(columns), 1), 1000)
        with self._said():
            if self.foot is not None:
                from nonzero.formats.parquet_samples import samples_of

                for sample in samples_of(self.source.path, self.foot, columns, rows):
                    judge.add_columns((name, ()) for name, _ in sample)  # in their order, whoever is first
                    halves = sample[::2], sample[1::2]
                    at_once([partial(judge.add_columns, half) for half in halves])
            elif self.form == "parquet" or self._is_file:
                for part in self._sampled_parts(rows):
                    judge.add(columns, self._texts(part, columns))
            else:
                while sum(batch.num_rows for batch in self._ahead) < 3 * rows:
                    more = next(iter(self._opened()), None)
                    if more is None:
                        break
                    more.validate(full=True)
                    self._ahead.append(more)
                judge.add(columns, self._texts(self._ahead, columns))

    def fractions(self, columns: Sequence[str]) -> list[str]:
        """Return those of some columns whose numbers may have fractions."""
        if self.foot is not None:
            return [
                leaf.name for leaf in self.foot.leaves if leaf.dtype.startswith("f") and leaf.name in columns
            ]
        tests = import_arrow().types
        kinds = {name: plain(self.schema.field(name).type) for name in columns}
        return [name for name, kind in kinds.items() if tests.is_floating(kind) or tests.is_decimal(kind)]

    # -- Parquet --------------------------------------------------------------------------------------------

    def rows(self, form: ParquetRows) -> Generator[Parsed, None, None]:
        """Yield its rows, as they are read without pyarrow.

        Parameters
        ----------
        form
            What reads them.

        Raises
        ------
        FormatError
            Where it is damaged.
        """
        scale = (self.source.size or 0) / max(form.size, 1)
        with self._said(), closing(form.read(self.source.path, at_once)) as parts:
            for parsed, done in parts:
                self.source.position = int(done * scale)
                yield parsed
        self.source.position = self.source.size or 0

    def _parquet(self, coded: Sequence[str]) -> Any:
        from_parquet = import_arrow().parquet
        return from_parquet.ParquetFile(self.source.path, read_dictionary=list(coded))

    def _row_groups(self, columns: Sequence[str]) -> Iterator[Any]:
        textual = [name for name in columns if _is_textual(self.schema.field(name).type)]
        with self._parquet(()) as file:
            differences = _written_as_differences(file.metadata)
        with self._parquet([name for name in textual if name not in differences]) as file:
            groups = range(file.metadata.num_row_groups)
            sizes = [file.metadata.row_group(group).total_byte_size for group in groups]
            scale = (self.source.size or 0) / max(sum(sizes), 1)
            rows = max(CELLS_READ_AT_ONCE // max(len(columns), 1), 1024)
            done = 0
            for group in groups:
                yield from file.iter_batches(rows, [group], list(columns), use_threads=False)
                done += sizes[group]
                self.source.position = int(done * scale)
        self.source.position = self.source.size or 0

    # -- Arrow IPC ------------------------------------------------------------------------------------------

    def _file_batches(self, columns: Sequence[str]) -> Iterator[Any]:
        arrow = import_arrow()
        places = [self.schema.get_field_index(name) for name in columns]
        options = arrow.ipc.IpcReadOptions(included_fields=places, use_threads=False)
        with arrow.memory_map(str(self.source.path)) as mapped:
            file = arrow.ipc.open_file(mapped, options=options)
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                batch.validate(full=True)
                yield batch
                self.source.position = (self.source.size or 0) * (number + 1) // file.num_record_batches

    def _opened(self) -> Any:
        """Return the stream of record batches."""
        if self._stream is None:
            self._stream = import_arrow().ipc.open_stream(io.BufferedReader(_Bytes(self.source)))
        return self._stream

    # -- samples --------------------------------------------------------------------------------------------

    def _sampled_parts(self, rows: int) -> Iterator[list[Any]]:
        """Yield record batches at the beginning, in the middle and at the end."""
        arrow = import_arrow()
        if self.form == "parquet":
            with self._parquet(()) as file:
                groups = file.metadata.num_row_groups
                if file.metadata.num_rows <= 3 * rows:
                    yield list(file.iter_batches(rows))
                    return
                for group in sorted({0, groups // 2, groups - 1}):
                    yield list(islice(file.iter_batches(rows, row_groups=[group]), 1))
            return
        with arrow.memory_map(str(self.source.path)) as mapped:
            file = arrow.ipc.open_file(mapped)
            count = file.num_record_batches
            for number in sorted({0, count // 2, count - 1}) if count > 3 else range(count):
                batch = file.get_batch(number)
                batch.validate(full=True)
                yield [batch.slice(0, 3 * rows if count == 1 else rows)]

    def _texts(self, batches: Iterable[Any], columns: Sequence[str]) -> list[list[bytes]]:
        rows: list[list[bytes]] = []
        for batch in batches:
            cells = []
            for name in columns:
                kind = self.schema.field(name).type
                column = batch.column(batch.schema.get_field_index(name))
                told = listed(kind) is None and _is_feature(kind)
                cells.append(cells_as_text(column, name) if told else [b""] * batch.num_rows)
            rows.extend(list(row) for row in zip(*cells, strict=True))
        return rows

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Say which file is meant where it is damaged."""
        try:
            yield
        except Exception as error:
            if isinstance(error, (DamagedError, OSError)) or is_of_arrow(error):
                raise damaged(self.source.name, error) from error
            raise


class _Bytes(io.RawIOBase):
    """A source's bytes as a file that is read in order; without what an IPC file has before its stream."""

    def __init__(self, source: Source) -> None:
        self._blocks = iter(source)
        self._rest = memoryview(b"")
        self._fill()
        if bytes(self._rest[:8]) == _ARROW_FILE:
            self._rest = self._rest[8:]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._fill()
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def _fill(self) -> None:
        self._rest = memoryview(next(self._blocks, b""))


class ColumnarReader:
    """Reads the examples of a columnar file, as :class:`nonzero.formats.Reader` reads those of text.

    Parameters
    ----------
    file
        The file.
    **options
        Those of :class:`nonzero.formats.arrow_rows.ArrowRows`.

    Attributes
    ----------
    format
        What reads the rows; its ``notes`` are what there is to say.
    """

    def __init__(self, file: ColumnarFile, **options: Any) -> None:
        self.file = file
        foot = file.foot
        if any(options.get(role) is not None for role in ("weight", "id", "time")):
            foot = None
        self.format: ArrowRows | ParquetRows
        self._examples: Callable[[], Generator[Parsed, None, None]]
        try:
            if foot is None:
                from nonzero.formats.arrow_rows import ArrowRows

                by_pyarrow = self.format = ArrowRows(file.schema, judged=True, **options)
                self._examples = lambda: ahead(self._parsed(by_pyarrow))
            else:
                from nonzero.formats.parquet_rows import ParquetRows

                by_us = self.format = ParquetRows(foot, judged=True, **options)
                self._examples = lambda: ahead(file.rows(by_us), by_us.looked_up_at_once)
        except FormatError as error:
            raise FormatError(f"{file.source.name}: {error}") from error

    def examples(self) -> Generator[Parsed, None, None]:
        """Yield the examples, read by another thread; what pyarrow decodes is made rows by a third."""
        return self._examples()

    def _parsed(self, form: ArrowRows) -> Generator[Parsed, None, None]:
        with closing(ahead(self.file.batches(form.columns))) as batches:
            for batch in batches:
                yield from form.read(batch)


def _begins_with(path: str | Path, start: bytes) -> bool:
    """Whether a file begins with some bytes as it lies on the disk, not compressed."""
    with Path(path).open("rb") as file:
        return file.read(len(start)) == start


def _written_as_differences(metadata: Any) -> set[str]:
    """Return the columns of which pyarrow makes no dictionary: their texts are written by what differs."""
    found = set()
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if not _DIFFERENCES.isdisjoint(column.encodings):
                found.add(column.path_in_schema)
    return found


def _is_feature(kind: Any) -> bool:
    try:
        return meaning_of(kind, "") is not Meaning.NOTHING
    except FormatError:
        return False


def _is_textual(kind: Any) -> bool:
    """Whether a column of Parquet can be read as a dictionary."""
    tests = import_arrow().types
    return bool(tests.is_string(kind) or tests.is_large_string(kind) or tests.is_binary(kind))
