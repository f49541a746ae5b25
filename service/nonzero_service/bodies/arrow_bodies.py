"""Arrow IPC streams as bodies: bounded before anything is made of them, validated in full, right as a whole.

What a few bytes can stand for is found out first: compressed buffers by the sizes that they say, rows by the
counts in the heads of messages, texts and lists that many rows share by adding up their lengths.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from nonzero import Batch, LineError, Schema
from nonzero.errors import FormatError, SettingsError
from nonzero.formats.arrow_import import MissingArrowError, import_arrow, import_compute
from nonzero.formats.arrow_rows import ArrowRows
from nonzero.formats.arrow_types import is_view, listed
from nonzero_service.bodies.json_bodies import bad_examples
from nonzero_service.bodies.tables import TableQuery
from nonzero_service.media_types import NDJSON
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings

MOST_PARTS: Final = 100_000
"""A body has at most so many columns, each counted in each record batch and dictionary."""

MOST_DELTAS: Final = 100
"""So many dictionaries may be longer forms of one before: each is put together anew."""

BYTES_A_CELL: Final = 8
"""A body may have one cell for each so many bytes that it is allowed to have."""

_TEXT_FORM: Final = f"send less at once, or a stream of lines as {NDJSON}"


class _Head(NamedTuple):
    """What a message says of what it holds."""

    rows: int
    expands_to: int
    """The bytes that its buffers say they have, decompressed."""
    delta: bool


def batch_of_arrow(body: bytes, schema: Schema, columns: TableQuery, settings: Settings) -> Batch:
    """Return the examples of a body, read by a model's schema.

    Parameters
    ----------
    body
        An Arrow IPC stream.
    schema
        The model's.
    columns
        Which columns hold labels, weights, ids and times.
    settings
        The bounds.

    Raises
    ------
    Problem
        400 where it is no Arrow, or not whole; 413 where it is, or stands for, too much; 415 where pyarrow is
        not installed; 422 for a column that is no feature, or naming every bad row, the first being number 1.
    """
    try:
        arrow = import_arrow()
    except MissingArrowError as error:
        raise Problem(
            415,
            f"bodies of Arrow need pyarrow, which this service lacks: pip install 'nonzero-ctr[arrow]'; "
            f"or send {NDJSON}",
        ) from error
    try:
        _check_heads(arrow, body, settings)
        with arrow.ipc.open_stream(body) as stream:
            return _read(stream, schema, columns, settings)
    except (FormatError, SettingsError) as error:
        raise Problem(422, str(error)) from error
    except (arrow.ArrowException, OSError, struct.error, ValueError, OverflowError) as error:
        raise Problem(400, f"the body is no Arrow IPC stream, or not whole: {error}"[:500]) from error


def _read(stream: Any, schema: Schema, columns: TableQuery, settings: Settings) -> Batch:
    """Read the record batches of a stream, whose heads are within the bounds."""
    rows = ArrowRows(stream.schema, schema=schema, **columns.roles)
    most = int(settings.max_body_bytes) // BYTES_A_CELL
    cells = 0
    batches: list[Batch] = []
    errors: list[LineError] = []
    for batch in stream:
        batch.validate(full=True)
        cells += sum(
            _cells(batch.column(batch.schema.get_field_index(name)), settings) for name in rows.columns
        )
        if cells > most:
            raise Problem(413, f"the body has more than {most} values; {_TEXT_FORM}")
        for parsed in rows.read(batch):
            errors += parsed.errors
            errors += _crowded(parsed.batch, parsed.lines, settings.max_features)
            if not errors and len(parsed.batch):
                batches.append(parsed.batch)
    if errors:
        raise bad_examples(errors, "a row", "rows")
    return Batch.concatenate(batches)


def _crowded(batch: Batch, lines: Any, most: int) -> Iterator[LineError]:
    """Yield what is wrong with the rows that have too many features."""
    counts = np.diff(batch.indptr)
    for row in np.flatnonzero(counts > most).tolist():
        yield LineError(int(lines[row]), f"it has {counts[row]} features; an example has at most {most}")


def _cells(array: Any, settings: Settings) -> int:
    """Return how many values an array has, those in its lists too; refuse texts that many of them share.

    Raises
    ------
    Problem
        413 where they would come to more bytes than a body may have.
    """
    arrow = import_arrow()
    cells = len(array)
    if listed(array.type) is not None:
        compute = import_compute()
        lengths = compute.list_value_length(array)
        cells += int(compute.sum(lengths.cast(arrow.int64())).as_py() or 0)
        if cells > int(settings.max_body_bytes) // BYTES_A_CELL:
            return cells
        array = array.flatten()
    if arrow.types.is_dictionary(array.type):
        array = array.dictionary
    elif arrow.types.is_run_end_encoded(array.type):
        array = array.values
    if is_view(array.type) and len(array):
        views = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, 4)
        sizes = views[array.offset : array.offset + len(array), 0].astype(np.int64)
        size = int(sizes[sizes > 0].sum())
        if size > settings.max_body_bytes:
            raise Problem(413, f"texts of {size} bytes stand in the body, many in one place; {_TEXT_FORM}")
    return cells


# -- the heads of messages ---------------------------------------------------------------------------------


def _check_heads(arrow: Any, body: bytes, settings: Settings) -> None:
    """Refuse a body whose messages say that they hold more than it may."""
    reader = arrow.ipc.MessageReader.open_stream(arrow.BufferReader(body))
    columns = parts = rows = size = deltas = 0
    for message in _messages(reader):
        if message.type == "schema":
            columns = _vector(message.metadata.to_pybytes(), (1,))
            continue
        if message.type not in ("record batch", "dictionary"):
            raise ValueError(f"it has a {message.type} in it")
        head = _head(message)
        parts += columns + 1
        rows += head.rows if message.type == "record batch" else 0
        size += head.expands_to
        deltas += head.delta
        if rows > settings.max_examples:
            most = settings.max_examples
            raise Problem(413, f"a body of Arrow has at most {most} rows, and this has {rows}; {_TEXT_FORM}")
        if size > settings.max_body_bytes:
            limit = int(settings.max_body_bytes)
            raise Problem(413, f"the body is more than {limit} bytes after decompression; {_TEXT_FORM}")
        if parts > MOST_PARTS:
            raise Problem(
                413,
                f"the body has more than {MOST_PARTS} columns, each counted in each record batch; "
                "send larger record batches",
            )
        if deltas > MOST_DELTAS:
            raise Problem(
                413, f"the body has more than {MOST_DELTAS} deltas of dictionaries; send them whole"
            )


def _messages(reader: Any) -> Iterator[Any]:
    while True:
        try:
            message = reader.read_next_message()
        except (StopIteration, EOFError):
            return
        if message is None:
            return
        yield message


def _head(message: Any) -> _Head:
    """Read the head of a record batch, or of that in a dictionary: a table of flatbuffers.

    https://arrow.apache.org/docs/format/Columnar.html#recordbatch-message
    """
    data = message.metadata.to_pybytes()
    table = _child(data, _child(data, 0), 2)
    delta = False
    if message.type == "dictionary":
        place = _place(data, table, 2)
        delta = bool(place and data[place])
        table = _child(data, table, 1)
    place = _place(data, table, 0)
    rows = struct.unpack_from("<q", data, place)[0] if place else 0
    if rows < 0:
        raise ValueError(f"a record batch says that it has {rows} rows")
    if not _place(data, table, 3):
        return _Head(rows, message.body.size if message.body is not None else 0, delta)
    buffers = _place(data, table, 2)
    expanded = 0
    if buffers and message.body is not None:
        begin = buffers + struct.unpack_from("<I", data, buffers)[0]
        body = memoryview(message.body)
        for offset, length in struct.iter_unpack(
            "<qq", data[begin + 4 : begin + 4 + 16 * _size(data, begin)]
        ):
            if length >= 8:
                said = struct.unpack_from("<q", body, offset)[0]
                expanded += length if said < 0 else said
    return _Head(rows, expanded, delta)


def _vector(data: bytes, path: tuple[int, ...]) -> int:
    """Return how many items the vector at the end of a path from the header has."""
    table = _child(data, _child(data, 0), 2)
    *inner, last = path
    for member in inner:
        table = _child(data, table, member)
    place = _place(data, table, last)
    return _size(data, place + struct.unpack_from("<I", data, place)[0]) if place else 0


def _size(data: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", data, place)[0])


def _child(data: bytes, table: int, member: int | None = None) -> int:
    """Return where the table is that a member refers to; of none, the one at the beginning."""
    place = table if member is None else _place(data, table, member)
    if member is not None and not place:
        raise ValueError("a message has no header")
    return place + int(struct.unpack_from("<I", data, place)[0])


def _place(data: bytes, table: int, member: int) -> int:
    """Return where a member of a table is; 0 where it is left out."""
    names = table - int(struct.unpack_from("<i", data, table)[0])
    if names < 0 or 4 + 2 * member >= struct.unpack_from("<H", data, names)[0]:
        return 0
    offset = int(struct.unpack_from("<H", data, names + 4 + 2 * member)[0])
    return table + offset if offset else 0
