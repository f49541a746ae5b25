"""Delimited text as JSON examples, which name their features as the library's reader does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

import numpy as np

from nonzero.errors import LineError
from nonzero.formats import Parsed, Reader
from nonzero.formats.delimited import Delimited
from nonzero_service.demo.chunks import LogChunk, json_chunk, lines_of


def table_chunks(blocks: Iterable[bytes], reader: Reader, size: int) -> Iterator[LogChunk]:
    """Make chunks of a table.

    Parameters
    ----------
    blocks
        The file.
    reader
        A new reader of delimited text: it judges the columns, finds the labels, and refuses lines.
    size
        Examples a chunk.
    """
    form = cast("Delimited", reader.format)
    waiting: dict[int, bytes] = {}
    rows: list[tuple[int, float, float]] = []
    errors: list[LineError] = []
    for parsed in _parsed(blocks, reader, waiting):
        batch = parsed.batch
        rows += zip(parsed.lines.tolist(), batch.labels.tolist(), batch.weights.tolist(), strict=True)
        errors += parsed.errors
        while len(rows) >= size:
            yield _chunk(form, rows[:size], waiting, errors)
            del rows[:size]
            errors = []
    if rows or errors:  # errors alone: nothing is sent, and they are reported
        yield _chunk(form, rows, waiting, errors)


def _parsed(blocks: Iterable[bytes], reader: Reader, waiting: dict[int, bytes]) -> Iterator[Parsed]:
    """Feed a reader a few lines at a time, and keep each by its number until it is read."""
    number = 1
    source = lines_of(blocks)
    while texts := list(islice(source, 100)):
        waiting.update(enumerate(texts, number))
        number += len(texts)
        yield reader.feed(b"".join(text + b"\n" for text in texts))
    yield reader.finish()


def _chunk(
    form: Delimited, rows: list[tuple[int, float, float]], waiting: dict[int, bytes], errors: list[LineError]
) -> LogChunk:
    features = [form.features(_record(form, waiting, line)) for line, _, _ in rows]
    for error in errors:
        _record(form, waiting, error.line)
    lines = np.array([line for line, _, _ in rows], np.int64)
    labels = np.array([label for _, label, _ in rows], np.float32)
    weights = np.array([weight for _, _, weight in rows], np.float32)
    return json_chunk(
        features, lines, labels, errors=tuple(errors), weights=None if (weights == 1).all() else weights
    )


def _record(form: Delimited, waiting: dict[int, bytes], line: int) -> bytes:
    """Take the record that begins with a line: where quotes are open at its end, the lines after it too."""
    record = waiting.pop(line, b"")
    while not form.is_whole(record) and (line := line + 1) in waiting:
        record += b"\n" + waiting.pop(line)
    return record
