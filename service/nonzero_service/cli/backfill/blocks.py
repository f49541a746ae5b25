"""Blocks: what one task reads of the files, decided by the process that learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from nonzero.errors import InputError
from nonzero.formats import Reader
from nonzero.formats.delimited import Delimited
from nonzero.formats.format import Format
from nonzero.formats.registry import COLUMNAR
from nonzero.sources.columnar import ColumnarFile
from nonzero.sources.files import Source
from nonzero_service.cli.input_files import InputFiles

WHOLE, LINES, GROUPS = "whole", "lines", "groups"

LARGEST: Final = 32 << 20
"""About so many bytes of a file are a block: a task takes a tenth of a second, of it Ray milliseconds."""

SMALLEST: Final = 4 << 20

EACH: Final = 4
"""So many blocks there are for each processor, where files are small."""

_LONGEST_HEADER: Final = 1 << 20


class Block(NamedTuple):
    """A part of a file that one task reads."""

    file: int
    """Its number."""
    kind: str
    """WHOLE; or LINES, which begin in a range of its bytes; or GROUPS, a range of Parquet's row groups."""
    first: int = 0
    last: int = 0
    exact: bool = False
    """Whether a line begins at the first byte."""
    skip: int = 0
    """So many parts of it were learned from before."""


class Files:
    """The files of a command as blocks.

    Parameters
    ----------
    inputs
        The files.
    processors
        How many read at the same time.
    """

    def __init__(self, inputs: InputFiles, processors: int) -> None:
        self._inputs = inputs
        share = inputs.known_size // max(EACH * processors, 1)
        self.size = min(max(share, SMALLEST), LARGEST)
        self._headers: dict[int, bytes | None] = {}

    def blocks(self, behind: Block | None = None) -> Iterator[Block]:
        """Yield the blocks in their order.

        Parameters
        ----------
        behind
            The block that those follow which are to be read; None for all.
        """
        for number, source in enumerate(self._inputs.sources):
            if behind is None or number > behind.file:
                yield from self._of(number, source, 0)
            elif number == behind.file and behind.kind != WHOLE:
                yield from self._of(number, source, behind.last)

    def _of(self, number: int, source: Source, first: int) -> Iterator[Block]:
        form = self._inputs.reading.format_of(source)
        if self._inputs.is_hashed(source):
            yield Block(number, WHOLE)
        elif form in COLUMNAR:
            yield from self._groups(number, source, first)
        elif self.header(number) is None or source.size is None:
            yield Block(number, WHOLE)
        else:
            for place in range(first, source.size, self.size):
                yield Block(number, LINES, place, min(place + self.size, source.size))
            if not source.size:
                yield Block(number, WHOLE)  # whose reader says what is wrong with that, if anything is

    def _groups(self, number: int, source: Source, first: int) -> Iterator[Block]:
        """Yield a Parquet file's row groups, several together where they are small; another file whole."""
        form = self._inputs.reading.format_of(source)
        parquet = ColumnarFile.of(source, form).parquet
        if parquet is None or not parquet.sizes:
            yield Block(number, WHOLE)
            return
        size = 0
        for group in range(first, len(parquet.sizes)):
            size += parquet.sizes[group]
            if size >= self.size or group + 1 == len(parquet.sizes):
                yield Block(number, GROUPS, first, group + 1)
                first, size = group + 1, 0

    def header(self, number: int) -> bytes | None:
        """Return the bytes that a text's columns are known by; None where it is not read by ranges.

        A compressed file is not, nor one whose header is not found at its beginning.
        """
        if number not in self._headers:
            self._headers[number] = self._header(self._inputs.sources[number])
        return self._headers[number]

    def _header(self, source: Source) -> bytes | None:
        source.start(1)
        if source.packed or source.size is None:
            return None
        options = self._inputs.options_of(source)
        schema = type(self._inputs.schema)(
            self._inputs.schema.fields, self._inputs.schema.default, self._inputs.schema.namespace_separator
        )
        reader = self._inputs.reading.table_reader(source, **(options | {"schema": schema}))
        if not isinstance(reader, Reader) or not isinstance(reader.format, Delimited):
            return b"" if isinstance(reader, Reader) and _stand_alone(reader.format) else None
        with source.opened() as file:
            start = file.read(min(source.size, _LONGEST_HEADER))
        end = 0
        try:
            while not reader.format.columns and (stop := start.find(b"\n", end) + 1):
                reader.feed(start[end:stop])
                end = stop
        except InputError:
            return None  # who reads the file says it
        return start[:end] if reader.format.columns else None


def _stand_alone(form: Format) -> bool:
    return form.alike() is not None


def text_of(block: Block, sources: Sequence[Source]) -> str:
    """Return what a block is called in messages."""
    name = sources[block.file].name
    if block.kind == LINES:
        return f"{name}, bytes {block.first:,} to {block.last:,}"
    if block.kind == GROUPS:
        return f"{name}, row groups {block.first:,} to {block.last - 1:,}"
    return name
