"""The click log that is replayed: a file's, or the simulated one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nonzero.formats import Reader
from nonzero.formats.registry import FORMATS
from nonzero.sources.files import Source
from nonzero_service.demo.chunks import LogChunk, line_chunks, simulated_chunks
from nonzero_service.demo.simulation import SimulatedLog
from nonzero_service.demo.tables import table_chunks


class Log(NamedTuple):
    """A click log, and how far it has been read."""

    title: str
    """What to call it."""
    chunks: Iterator[LogChunk]
    """The log in order; read once."""
    total: int | None
    """How much there is to read, in the unit of `position`."""
    position: Callable[[], int]
    """How much has been read."""
    examples: int | None = None
    """How many examples it has, where its true click rates are known."""
    notes: Sequence[str] = ()
    """What its reader has to say, once the log has been read."""


def simulated_log(examples: int, seed: int, size: int) -> Log:
    """Return the simulated log, `size` impressions a chunk."""
    read = 0

    def chunks() -> Iterator[LogChunk]:
        nonlocal read
        for chunk in simulated_chunks(SimulatedLog(examples, seed=seed), size):
            read += chunk.lines.size
            yield chunk

    title = f"{examples:,} simulated impressions, whose taste changes half-way,"
    return Log(title, chunks(), examples, lambda: read, examples)


def file_log(source: Source, reader: Reader, size: int) -> Log:
    """Return a file's log, `size` lines a chunk."""
    form = reader.format
    media_type = FORMATS[form.name].media_type
    if form.header or media_type is None:
        chunks = table_chunks(source, reader, size)
    else:  # its lines go to the service as they are
        chunks = line_chunks(source, reader, media_type, size)
    return Log(source.name, chunks, source.size, lambda: source.position, notes=form.notes)
