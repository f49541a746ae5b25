"""What a task does, in a process of the cluster: it reads a block, parses and hashes it."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from nonzero import Schema
from nonzero.errors import NonzeroError
from nonzero.fields import known
from nonzero.formats import Parsed, Reader
from nonzero.formats.delimited import Delimited
from nonzero.persistence.pages import keep_freed
from nonzero.sources.files import Source
from nonzero.sources.places import Remote
from nonzero.sources.ranges import LineRange
from nonzero.sources.rows_agreement import check_hashed
from nonzero.sources.rows_file import RowsReader
from nonzero_service.cli.backfill.blocks import GROUPS, LINES, Block
from nonzero_service.cli.backfill.parts import BlockPart, Gathering, packed
from nonzero_service.cli.reading import ReadingOptions


@dataclass(frozen=True)
class Understanding:
    """How all files are read."""

    options: ReadingOptions
    schema: Schema
    names: Mapping[str, str]
    """The fields that are known, and the kinds in which they came."""
    nonzeros: int
    """A part has about so many."""

    def to_plain(self) -> dict[str, Any]:
        """Return it as what any process can be given."""
        schema = self.schema
        return {
            "options": asdict(self.options),
            "schema": [dict(schema.fields), schema.default, schema.namespace_separator],
            "names": dict(self.names),
            "nonzeros": self.nonzeros,
        }

    @classmethod
    def of_plain(cls, given: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_plain` was called of; its schema has met nothing."""
        options, schema = ReadingOptions(**given["options"]), Schema(*given["schema"])
        return cls(options, schema, given["names"], given["nonzeros"])


@dataclass(frozen=True)
class TaskBlock:
    """A block, and what its task must know of its file."""

    block: Block
    where: tuple[str, dict[str, Any] | None]
    """Where the file is; of a URL also what tells its version: another one is refused."""
    name: str
    """What it is called in messages."""
    is_hashed: bool
    options: Mapping[str, Any]
    """Those of its reader, but for the schema."""
    header: bytes
    """What a table's columns are known by."""

    def to_plain(self) -> dict[str, Any]:
        """Return it as what any process can be given."""
        return {**vars(self), "block": tuple(self.block)}

    @classmethod
    def of_plain(cls, given: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_plain` was called of."""
        return cls(**{**given, "block": Block(*given["block"])})


class UnreadableError(NonzeroError):
    """A file that a task cannot read where it runs."""


def parts_of(reading: Mapping[str, Any], piece: Mapping[str, Any]) -> Iterator[BlockPart]:
    """Yield the parts of a block: the same ones however often, and wherever, it is read.

    Parameters
    ----------
    reading, piece
        An :class:`Understanding` and a :class:`TaskBlock`, made plain.

    Yields
    ------
    BlockPart
        The last one says so. An error is its, and is not raised: where it stands among the others is known
        to whoever learns from them.
    """
    _prepare()
    yield from _Task(Understanding.of_plain(reading), TaskBlock.of_plain(piece)).parts()


@cache
def _prepare() -> None:
    keep_freed()


class _Task:
    def __init__(self, reading: Understanding, piece: TaskBlock) -> None:
        self._piece = piece
        self._reading = reading
        self._schema = reading.schema
        for name, kind in reading.names.items():
            met = name.encode(errors="replace")
            self._schema.known.meet(met)
            if kind:
                self._schema.known.came(met, known.CATEGORY if kind == "category" else known.NUMBER)
        self._changes = self._schema.known.changes
        name, info = piece.where
        self._source = Source(Path(name) if info is None else Remote(name, info))
        self._source.name = piece.name
        self._range: LineRange | None = None
        self._notes: tuple[str, ...] = ()
        self._before = 0

    def parts(self) -> Iterator[BlockPart]:
        error: Exception | None = None
        gathering, place = Gathering(self._reading.nonzeros), 0
        try:
            with closing(self._parsed()) as parsed:
                for some in gathering.full(parsed):
                    if place >= self._piece.block.skip:
                        yield self._part(some)
                    place += 1
        except NonzeroError as refused:
            error = refused
        except OSError as failed:
            error = UnreadableError(
                f"{self._piece.name} cannot be read on {socket.gethostname()}: {failed.strerror or failed}; "
                "tasks of --ray read files where they run: give a path that all machines have, or a URL"
            )
        end = None if self._range is None else self._range.end
        rest = gathering.rest() if place >= self._piece.block.skip else []
        yield self._part(rest)._replace(is_last=True, end=end, notes=self._notes, error=error)

    def _part(self, some: list[Parsed]) -> BlockPart:
        rows = [packed(one, self._before) for one in some if one.lines_read or len(one.batch)]
        names: dict[str, str] = {}
        if self._schema.known.changes != self._changes:
            self._changes = self._schema.known.changes
            names = self._schema.known.kinds_met()
        start = None if self._range is None else self._range.start
        return BlockPart(rows, self._source.position, start, names)

    def _parsed(self) -> Generator[Parsed, None, None]:
        block = self._piece.block
        if self._piece.is_hashed:
            rows = RowsReader(self._source)
            yield from rows
            check_hashed(rows.name, rows.head, rows.foot, self._schema)
            return
        options = {**self._piece.options, "schema": self._schema}
        reader = self._reading.options.table_reader(self._source, **options)
        if not isinstance(reader, Reader):
            wanted = range(block.first, block.last) if block.kind == GROUPS else None
            if reader.file.parquet is not None:
                yield from reader.file.row_groups(reader.file.parquet, reader.format, wanted)
            else:
                for batch in reader.file.batches(reader.format.columns):
                    yield from reader.format.read(batch)
        elif block.kind == LINES:
            self._range = LineRange(self._source, block.first, block.last, exact=block.exact)
            yield from self._range.read(self._begun(reader) if block.first else reader)
        else:
            for text in self._source:
                yield reader.feed(text)
            yield reader.finish()
        self._notes = tuple(reader.format.notes)

    def _begun(self, reader: Reader) -> Reader:
        """Return a reader for lines in the middle of the file."""
        if isinstance(reader.format, Delimited):
            self._before = reader.feed(self._piece.header).lines_read
            return reader
        alike = reader.alike()
        if alike is None:
            raise TypeError(f"lines of {reader.format.name} do not stand for themselves")
        return alike
