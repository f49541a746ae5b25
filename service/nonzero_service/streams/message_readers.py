"""Reading messages: what a piece holds, row by row, and which message each row and each error is of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import NamedTuple, Protocol

import numpy as np

from nonzero import Batch, FormatError, LineError, Schema, formats
from nonzero.formats import Parsed
from nonzero.formats.json_bodies import parse_body, read_bodies
from nonzero_service.kafka.records import Chunk
from nonzero_service.streams.pieces import Lines


class Refusal(NamedTuple):
    """A line of a message, or a message, of which nothing can be learned."""

    topic: str
    partition: int
    offset: int
    line: int
    """Which line of the message, from 1; 1 where it is read as a whole."""
    reason: str

    @classmethod
    def of_first(cls, chunk: Chunk, reason: str) -> Refusal:
        """Return why the first message of a chunk is refused as a whole."""
        return cls(chunk.topic, chunk.partition, int(chunk.offsets[0]), 1, reason)


class MessageReader(Protocol):
    """Reads pieces, one after another; on one thread at a time."""

    def read(self, piece: Sequence[Lines]) -> Parsed:
        """Return what a piece holds; its `lines` are counted as :meth:`sizes` has them, from 1."""

    def whole(self, parsed: Parsed) -> Parsed:
        """Return what is left where a message is right as a whole or refused."""

    def count(self, lines: Lines) -> int:
        """Return how many `lines` a chunk has."""

    def sizes(self, chunk: Chunk) -> Sequence[int]:
        """Return how many `lines` each message of a chunk has that has a value."""


class LineReader:
    """Reads messages that hold lines of a format.

    Parameters
    ----------
    format
        One whose lines mean the same wherever they stand.
    schema
        What the fields are.
    max_line
        The longest line, in bytes.
    """

    def __init__(self, format: str, schema: Schema, max_line: int) -> None:
        # A byte order mark is a part of its message: the first one is no other than those after it.
        reader = formats.reader(format, max_line=max_line, schema=schema).alike()
        assert reader is not None  # noqa: S101 - the settings name no other format
        self._reader = reader
        self._lines = 0

    def read(self, piece: Sequence[Lines]) -> Parsed:
        """Return what a piece holds."""
        parts: list[Parsed] = []
        before = 0
        # Chunk by chunk: what was put together is still in the processor's own memory when it is parsed.
        for lines in piece:
            parts.append(self._read(lines, before))
            before += lines.number
        return Parsed.concatenate(parts)

    def _read(self, lines: Lines, before: int) -> Parsed:
        """Return what a chunk holds, which stands behind so many lines."""
        parsed = self._reader.feed(lines.data, behind=lines.chunk.values.behind)
        lines.number = parsed.lines_read
        by = before - self._lines  # the reader goes on counting
        self._lines += parsed.lines_read
        errors = tuple(LineError(line + by, reason) for line, reason in parsed.errors)
        return parsed._replace(lines=parsed.lines + by, errors=errors)

    def whole(self, parsed: Parsed) -> Parsed:
        """Return all: each line stands for itself."""
        return parsed

    def count(self, lines: Lines) -> int:
        """Return how many lines a chunk has."""
        return lines.number

    def sizes(self, chunk: Chunk) -> Sequence[int]:
        """Return how many lines each message has."""
        counts: list[int] = chunk.values.line_counts().tolist()
        return counts


class JsonReader:
    """Reads messages that hold JSON: an example, or ``{"examples": [...]}``; right as a whole, or refused.

    Parameters
    ----------
    schema
        What the fields are.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def read(self, piece: Sequence[Lines]) -> Parsed:
        """Return what a piece holds; each message is a line."""
        values = [*chain.from_iterable(lines.chunk.values.held() for lines in piece)]
        parsed = read_bodies(values, self._schema)
        return parsed if len(parsed.batch) == len(values) else self._with_others(values, parsed)

    def _with_others(self, values: Sequence[bytes], parsed: Parsed) -> Parsed:
        """Read the messages that compiled code has left, in their places."""
        batches: list[Batch] = []
        numbers: list[int] = []
        errors: list[LineError] = []
        read = parsed.lines.tolist()
        taken = 0
        for number in sorted({*range(1, len(values) + 1)}.difference(read)):
            place = int(np.searchsorted(parsed.lines, number))
            batches.append(parsed.batch.rows(taken, place))
            numbers += read[taken:place]
            taken = place
            try:
                batches.append(parse_body(values[number - 1], self._schema))
            except FormatError as error:
                errors.append(LineError(number, str(error)))
            else:
                numbers += [number] * len(batches[-1])
        batches.append(parsed.batch.rows(taken, len(read)))
        numbers += read[taken:]
        return parsed._replace(
            batch=Batch.concatenate([one for one in batches if len(one)]),
            lines=np.array(numbers, np.int64),
            errors=tuple(errors),
        )

    def whole(self, parsed: Parsed) -> Parsed:
        """Return the rows of messages of which nothing was refused."""
        refused = np.isin(parsed.lines, [error.line for error in parsed.errors])
        if not refused.any():
            return parsed
        return parsed._replace(batch=parsed.batch.select(~refused), lines=parsed.lines[~refused])

    def count(self, lines: Lines) -> int:
        """Return how many messages of a chunk have a value."""
        return lines.chunk.values.number

    def sizes(self, chunk: Chunk) -> Sequence[int]:
        """Return 1 for each message."""
        return [1] * chunk.values.number


def reader_of(format: str, schema: Schema, max_line: int) -> MessageReader:
    """Return the reader of messages of a format; the arguments as of :class:`LineReader`."""
    return JsonReader(schema) if format == "json" else LineReader(format, schema, max_line)


class ReadPiece(NamedTuple):
    """What a piece came to."""

    batch: Batch
    examples: Sequence[int]
    """Of each chunk, how many."""
    refused: Sequence[int]
    """Of each chunk, how many messages had something that was refused."""
    refusals: Sequence[Refusal]


def found_in(piece: Sequence[Lines], parsed: Parsed, reader: MessageReader) -> ReadPiece:
    """Say which chunk each row is of, and which message each error.

    Parameters
    ----------
    piece, parsed, reader
        The piece, what it holds of use, and what has read it.
    """
    ends = [*accumulate(map(reader.count, piece))]
    rows = np.searchsorted(parsed.lines, ends, "right").tolist()
    examples = [end - begin for begin, end in zip([0, *rows], rows, strict=False)]
    if not parsed.errors:
        return ReadPiece(parsed.batch, examples, [0] * len(piece), ())
    refusals: list[Refusal] = []
    refused: list[int] = []
    errors = np.searchsorted([line for line, _ in parsed.errors], [0, *ends], "right").tolist()
    for lines, before, begin, end in zip(piece, [0, *ends], errors, errors[1:], strict=False):
        named = _refusals(lines.chunk, parsed.errors[begin:end], before, reader)
        refused.append(len({refusal.offset for refusal in named}))
        refusals += named
    return ReadPiece(parsed.batch, examples, refused, refusals)


def _refusals(chunk: Chunk, errors: Sequence[LineError], before: int, reader: MessageReader) -> list[Refusal]:
    """Name the messages of a chunk that errors are of, given how many lines stand before it."""
    if not errors:
        return []
    gone = chunk.values.gone
    offsets = (chunk.offsets if gone is None else chunk.offsets[~gone]).tolist()
    ends = np.cumsum(reader.sizes(chunk))
    places = np.searchsorted(ends, [line - before for line, _ in errors]).tolist()
    starts = [0, *ends.tolist()]
    return [
        Refusal(chunk.topic, chunk.partition, offsets[place], line - before - starts[place], reason)
        for place, (line, reason) in zip(places, errors, strict=True)
    ]
