"""Columnar files, Parquet and Arrow IPC, as record batches in bounded memory, and as examples."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from nonzero.errors import FormatError
from nonzero.formats.arrow_import import damaged, import_arrow
from nonzero.formats.arrow_types import has_cells, plain
from nonzero.formats.arrow_values import cells_as_text
from nonzero.formats.judging import Judge
from nonzero.formats.parsed import Parsed
from nonzero.sources.files import Source
from nonzero.sources.parquet import Parquet
from nonzero.sources.pipeline import ahead, at_once

if TYPE_CHECKING:  # imported where a file needs it: 10 ms, which a command on text need not pay
    from nonzero.formats.arrow_rows import ArrowRows

SAMPLED_CELLS: Final = 200_000
"""About so many cells are looked at, at each of three places of a file."""

_ARROW_FILE: Final = b"ARROW1\0\0"
_OLD_FEATHER: Final = b"FEA1"
_PARQUET: Final = b"PAR1"

_PARTS_AHEAD: Final = 32
"""So many parts of a row group that was looked up may wait, while the next is decoded."""


class ColumnarFile:
    """A file of columns: Parquet, an Arrow IPC file (Feather), or an Arrow IPC stream.

    A stream may be compressed as a whole, and may be standard input. Parquet is read from its end, so that it
    must be a plain file.

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
        start = source.start(8)
        plain_file = source.size is not None and _begins_with(source, start)
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
    def parquet(self) -> Parquet | None:
        """What reads it, of Parquet; None for any other file."""
        if self.form != "parquet":
            return None
        with self._said():
            return Parquet(self.source)

    @cached_property
    def schema(self) -> Any:
        """The names and types of its columns, a ``pyarrow.Schema``."""
        if self.parquet is not None:
            return self.parquet.schema
        arrow = import_arrow()
        with self._said():
            if self._is_file:
                with self._mapped() as mapped:
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
            if self.parquet is not None:
                with closing(self.parquet.groups(columns)) as groups:
                    for group, done in zip(groups, accumulate(self.parquet.sizes), strict=True):
                        yield from self.parquet.batches(group, columns)
                        self.source.position = int(done * self._scale(self.parquet))
            elif self._is_file:
                yield from self._file_batches(columns)
            else:
                yield from self._ahead
                self._ahead.clear()
                for batch in self._opened():
                    batch.validate(full=True)
                    yield batch

    def row_groups(
        self, parquet: Parquet, form: ArrowRows, wanted: range | None = None
    ) -> Generator[Parsed, None, None]:
        """Yield its rows, row group by row group; of Parquet.

        Parameters
        ----------
        parquet
            What reads the file.
        form
            What makes rows of its columns.
        wanted
            Which row groups; None for all.

        Raises
        ------
        FormatError
            Where it is damaged.
        """
        columns, scale = form.columns, self._scale(parquet)
        done = [*accumulate(parquet.sizes)]
        with self._said(), closing(parquet.groups(columns, wanted)) as groups:
            for group in groups:
                found = None
                if not form.has_lists and parquet.is_small(group, columns):
                    with parquet.decoders(group, columns) as decoders:
                        found = form.look_up(parquet.rows[group], decoders, at_once)
                if found is not None:
                    yield from found
                else:
                    with closing(ahead(parquet.batches(group, columns))) as batches:
                        for batch in batches:
                            yield from form.read(batch)
                self.source.position = int(done[group] * scale)
        if wanted is None:
            self.source.position = self.source.size or 0

    def _scale(self, parquet: Parquet) -> float:
        """Return how many bytes of the file there are for each byte of columns, unpacked."""
        size: int = max(sum(parquet.sizes), 1)
        return (self.source.size or 0) / size

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
            if self.parquet is not None:
                for sample in self.parquet.samples(columns, rows):
                    judge.add_columns(sample)
            elif self._is_file:
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
        tests = import_arrow().types
        kinds = {name: plain(self.schema.field(name).type) for name in columns}
        return [name for name, kind in kinds.items() if tests.is_floating(kind) or tests.is_decimal(kind)]

    # -- Arrow IPC ------------------------------------------------------------------------------------------

    def _file_batches(self, columns: Sequence[str]) -> Iterator[Any]:
        arrow = import_arrow()
        places = [self.schema.get_field_index(name) for name in columns]
        options = arrow.ipc.IpcReadOptions(included_fields=places, use_threads=False)
        with self._mapped() as mapped:
            file = arrow.ipc.open_file(mapped, options=options)
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                batch.validate(full=True)
                yield batch
                self.source.position = (self.source.size or 0) * (number + 1) // file.num_record_batches

    def _mapped(self) -> Any:
        """Open an Arrow IPC file; one in a store is fetched as far as it is read."""
        if self.source.is_local:
            return import_arrow().memory_map(str(self.source.path))
        from nonzero.sources.store_files import PART
        from nonzero.sources.store_reader import StoreReader

        return StoreReader(self.source.stored, least=PART)

    def _opened(self) -> Any:
        """Return the stream of record batches."""
        if self._stream is None:
            self._stream = import_arrow().ipc.open_stream(io.BufferedReader(_Bytes(self.source)))
        return self._stream

    # -- samples --------------------------------------------------------------------------------------------

    def _sampled_parts(self, rows: int) -> Iterator[list[Any]]:
        """Yield record batches at the beginning, in the middle and at the end."""
        arrow = import_arrow()
        with self._mapped() as mapped:
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
                column = batch.column(batch.schema.get_field_index(name))
                told = has_cells(self.schema.field(name).type)
                cells.append(cells_as_text(column, name) if told else [b""] * batch.num_rows)
            rows.extend(list(row) for row in zip(*cells, strict=True))
        return rows

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Say which file is meant where it is damaged."""
        try:
            yield
        except (import_arrow().ArrowException, OSError) as error:
            raise damaged(self.source.name, error) from error


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
        from nonzero.formats.arrow_rows import ArrowRows

        try:
            self.format = ArrowRows(file.schema, judged=True, **options)
        except FormatError as error:
            raise FormatError(f"{file.source.name}: {error}") from error

    def examples(self) -> Generator[Parsed, None, None]:
        """Yield the examples, decoded and made rows by other threads."""
        if self.file.parquet is not None:
            return ahead(self.file.row_groups(self.file.parquet, self.format), _PARTS_AHEAD)
        return ahead(self._parsed())

    def _parsed(self) -> Generator[Parsed, None, None]:
        with closing(ahead(self.file.batches(self.format.columns))) as batches:
            for batch in batches:
                yield from self.format.read(batch)


def _begins_with(source: Source, start: bytes) -> bool:
    """Whether a file begins with some bytes as it lies there, not compressed."""
    with source.opened() as file:
        return file.read(len(start)) == start
