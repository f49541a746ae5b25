"""Parquet, by pyarrow: a row group column by column, or in parts; and samples of each column."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from nonzero.formats.arrow_import import import_arrow, import_parquet
from nonzero.formats.arrow_types import has_cells
from nonzero.formats.arrow_values import cells_as_text
from nonzero.sources.files import Source

if TYPE_CHECKING:  # imported for the first URL
    from nonzero.sources.store_columns import StoreColumns

CELLS_READ_AT_ONCE: Final = 1 << 22
"""About so many cells of a row group are decoded at once, where it is read in parts."""

MOST_CELLS: Final = 1 << 26
"""A row group of more cells is read in parts: a cell that was looked up is four bytes."""

MOST_BYTES: Final = 1 << 30
"""A row group of more bytes, unpacked, is read in parts."""

THREADS: Final = 2
"""So many decode columns at the same time: as many as parse text."""

_FIRST: Final = 200
"""So many rows of a sample are looked at first, which is enough for most columns."""

_THEN: Final = 2000

_BUFFER: Final = 1 << 16

_DIFFERENCES: Final = frozenset(("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"))


class Parquet:
    """A Parquet file.

    Parameters
    ----------
    source
        The file. Of one in a store only what some columns take is fetched, ahead of who decodes it.

    Attributes
    ----------
    schema
        The names and types of its columns, a ``pyarrow.Schema``.
    sizes
        How many bytes the columns of each row group are, unpacked.
    rows
        How many rows each row group has.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._metadata: Any = None
        self._stored: StoreColumns | None = None
        if not source.is_local:
            from nonzero.sources.store_columns import StoreColumns

            self._stored = StoreColumns(source.stored)
        with self._opened() as file:
            self._metadata = file.metadata
            self.schema: Any = file.schema_arrow
        groups = [self._metadata.row_group(number) for number in range(self._metadata.num_row_groups)]
        self.sizes = [group.total_byte_size for group in groups]
        self.rows = [group.num_rows for group in groups]
        self._differences = {
            column.path_in_schema
            for group in groups
            for column in map(group.column, range(group.num_columns))
            if not _DIFFERENCES.isdisjoint(column.encodings)
        }

    def groups(self, columns: Sequence[str], wanted: range | None = None) -> Generator[int, None, None]:
        """Yield the numbers of its row groups; from a store some columns of the next are fetched meanwhile.

        Parameters
        ----------
        columns
            Those that are read of each.
        wanted
            Which row groups; None for all.
        """
        numbers = range(len(self.sizes)) if wanted is None else wanted
        if self._stored is None:
            yield from numbers
            return
        with closing(self._stored.ahead(self._metadata, numbers, columns)) as fetched:
            yield from fetched

    def is_small(self, group: int, columns: Sequence[str]) -> bool:
        """Whether some columns of a row group may be decoded as a whole, one after another.

        Of texts written by what differs nobody knows how long they are.
        """
        return (
            self.rows[group] * len(columns) <= MOST_CELLS
            and self.sizes[group] <= MOST_BYTES
            and self._differences.isdisjoint(columns)
        )

    @contextmanager
    def decoders(self, group: int, columns: Sequence[str]) -> Iterator[list[Callable[[str], Any]]]:
        """Give functions that return a column of a row group, by its name, as ``pyarrow.ChunkedArray``.

        Each may be called by one thread at a time.
        """
        with ExitStack() as stack:
            files = [stack.enter_context(self._opened(columns, group)) for _ in range(THREADS)]

            def decoder(file: Any) -> Callable[[str], Any]:
                return lambda name: file.read_row_group(group, [name], use_threads=False).column(name)

            yield [decoder(file) for file in files]

    def batches(self, group: int, columns: Sequence[str]) -> Generator[Any, None, None]:
        """Yield the record batches of a row group, with some columns."""
        with self._opened(columns, group) as file:
            rows = max(CELLS_READ_AT_ONCE // max(len(columns), 1), 1024)
            yield from file.iter_batches(rows, [group], list(columns), use_threads=False)

    def samples(
        self, columns: Sequence[str], rows: int
    ) -> Iterator[list[tuple[str, Generator[list[bytes], None, None]]]]:
        """Yield the cells at three places, or all of a small file.

        Parameters
        ----------
        columns
            Which columns.
        rows
            How many at each place.

        Yields
        ------
        list of (str, iterator)
            The name of each column, and its cells in parts, as delimited text has them; no more is read
            than is used. Lists, and what is no feature, have none.
        """
        groups = range(len(self.sizes))
        if sum(self.rows) <= 3 * rows:
            places, most = [list(groups)], 3 * rows
        else:
            places, most = [[place] for place in sorted({0, len(groups) // 2, groups[-1]})], rows
        told = [name for name in columns if has_cells(self.schema.field(name).type)]
        if self._stored is not None:
            self._stored.sample(self._metadata, [group for place in places for group in place], told)
        with self._opened() as file:
            for place in places:
                yield [(name, _cells(file, place, name, most)) for name in told]

    def _opened(self, columns: Sequence[str] = (), group: int | None = None) -> Any:
        """Open the file; the texts of some columns come as the dictionaries of their pages."""
        coded = [name for name in columns if name not in self._differences and self._is_textual(name)]
        file: Any = self._source.path
        buffer = _BUFFER
        if self._stored is not None:
            file = self._stored.opened(group)
            buffer = self._stored.buffer(group)
        return import_parquet().ParquetFile(
            file, metadata=self._metadata, read_dictionary=coded, pre_buffer=False, buffer_size=buffer
        )

    def _is_textual(self, column: str) -> bool:
        kind, tests = self.schema.field(column).type, import_arrow().types
        return bool(tests.is_string(kind) or tests.is_large_string(kind) or tests.is_binary(kind))


def _cells(file: Any, groups: Sequence[int], name: str, most: int) -> Generator[list[bytes], None, None]:
    """Yield the cells of a column in parts, a few first."""
    left = most
    for batch in file.iter_batches(_THEN, groups, [name], use_threads=False):
        for first, rows in ((0, _FIRST), (_FIRST, _THEN)):
            part = batch.column(name).slice(first, min(rows, left))
            left -= len(part)
            if len(part):
                yield cells_as_text(part, name)
        if not left:
            return
