"""Tables -> slices of rows, each as a stream of Arrow where that is the same as its rows, or as examples.

pyarrow is used where it is installed, and no other library is imported.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from nonzero_client.columns import Columns
from nonzero_client.errors import InputError
from nonzero_client.rows import columns_of, from_rows

ARROW_BYTES: Final = 8 << 20
"""No slice of more rows than one has more bytes of Arrow, unless said otherwise."""

Examples = Iterator[dict[str, Any]]


@dataclass(slots=True)
class Slice:
    """Some rows of a table.

    Parameters
    ----------
    rows
        How many.
    columns
        What is said of its columns.
    arrow
        A stream of Arrow; empty where there is none that is the same as the rows.
    examples
        Makes examples of the rows.
    """

    rows: int
    columns: Columns
    arrow: bytes
    examples: Callable[[], Examples]


def import_arrow() -> Any:
    """Return pyarrow, or None where it is not installed."""
    try:
        import pyarrow.ipc  # here: it is no dependency, and takes long to import
    except ImportError:
        return None
    return pyarrow


def slices_of(
    table: Any, columns: Columns, size: int, *, labelled: bool, most: int = ARROW_BYTES
) -> Iterator[Slice]:
    """Cut a table into slices.

    Parameters
    ----------
    table
        As for :func:`from_rows`, or whatever has ``__arrow_c_stream__``.
    columns
        What is said of its columns.
    size
        So many rows are a slice.
    labelled
        Whether it is to be learned from; else its labels are left out.
    most
        A slice whose Arrow has more bytes is cut in two.

    Yields
    ------
    Slice
        In order.

    Raises
    ------
    InputError
        For what is no table, and for what was said of columns that are not there.
    """
    pieces = _pieces(table, size)
    if pieces is None:
        yield from _of_rows(table, columns, size, labelled=labelled)
        return
    for piece in pieces:
        said = columns.of_table(columns_of(piece))
        yield from _slices(piece, said, most, labelled=labelled)


def file_tables(path: Path, media: str) -> Any:
    """Open a file of Parquet or Arrow, and return a reader of its record batches.

    Raises
    ------
    InputError
        Where pyarrow is not installed, and for what is no such file.
    """
    arrow = import_arrow()
    if arrow is None:
        raise InputError(
            f"{path} is {media}, which pyarrow reads: pip install pyarrow, or send its rows as text"
        )
    try:
        if media == "parquet":
            import pyarrow.parquet

            file = pyarrow.parquet.ParquetFile(path)
            return arrow.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())
        source = arrow.memory_map(str(path))
        try:
            opened = arrow.ipc.open_file(source)
        except arrow.ArrowInvalid:
            source.seek(0)
            return arrow.ipc.open_stream(source)
        batches = map(opened.get_batch, range(opened.num_record_batches))
        return arrow.RecordBatchReader.from_batches(opened.schema, batches)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except arrow.ArrowException as error:
        raise InputError(f"{path} cannot be read as {media}: {error}") from error


# -- pieces ------------------------------------------------------------------------------------------------


def _pieces(table: Any, size: int) -> Iterator[Any] | None:
    """Return the parts of a table, each a table of so many rows; None where it can only be read by rows."""
    arrow = import_arrow()
    if hasattr(table, "iloc") and hasattr(table, "itertuples"):
        return (table.iloc[first : first + size] for first in range(0, len(table), size))
    if hasattr(table, "iter_rows") and hasattr(table, "slice") and hasattr(table, "to_arrow"):
        return (table.slice(first, size) for first in range(0, len(table), size))
    if arrow is None:
        return None
    if isinstance(table, arrow.RecordBatch):
        table = arrow.Table.from_batches([table])
    if isinstance(table, arrow.Table):
        return (table.slice(first, size) for first in range(0, table.num_rows, size))
    if isinstance(table, arrow.RecordBatchReader):
        return _rebatched(arrow, table, size)
    if hasattr(table, "__arrow_c_stream__") and not hasattr(table, "collect"):
        try:
            return _rebatched(arrow, arrow.RecordBatchReader.from_stream(table), size)
        except (arrow.ArrowException, TypeError, ValueError) as error:
            raise InputError(f"this {type(table).__name__} cannot be read as a table: {error}") from error
    return None


def _rebatched(arrow: Any, reader: Any, size: int) -> Iterator[Any]:
    """Yield tables of so many rows, however many a record batch has: the same stream is cut alike."""
    held: list[Any] = []
    rows = 0
    for batch in reader:
        held.append(batch)
        rows += batch.num_rows
        while rows >= size:
            whole = arrow.Table.from_batches(held)
            yield whole.slice(0, size)
            rows -= size
            held = whole.slice(size).to_batches()
    if rows:
        yield arrow.Table.from_batches(held)


def _of_rows(table: Any, columns: Columns, size: int, *, labelled: bool) -> Iterator[Slice]:
    """Cut what can only be read row by row."""
    said = columns.of_table(columns_of(table))
    examples = _examples(table, said, labelled=labelled)
    while some := list(itertools.islice(examples, size)):
        yield Slice(len(some), said, b"", lambda some=some: iter(some))  # type: ignore[misc]


def _slices(piece: Any, columns: Columns, most: int, *, labelled: bool) -> Iterator[Slice]:
    rows = piece.num_rows if hasattr(piece, "num_rows") else len(piece)
    table = arrow_of(piece, columns)
    sent = columns
    if not labelled and columns.label is not None:
        table = None if table is None else table.drop_columns([columns.label])
        sent = replace(columns, label=None, positive=None)
    body = b"" if table is None else _stream(table)
    if len(body) > most and rows > 1:
        cut = getattr(piece, "iloc", None)
        for first, last in ((0, rows // 2), (rows // 2, rows)):
            part = piece.slice(first, last - first) if cut is None else cut[first:last]
            yield from _slices(part, columns, most, labelled=labelled)
        return
    yield Slice(rows, sent, body, lambda: _examples(piece, columns, labelled=labelled))


def _examples(table: Any, columns: Columns, *, labelled: bool) -> Examples:
    """Make examples of the rows of a table."""
    named = {member: column for column, member in columns.members.items()}
    for example in from_rows(table, **named):
        if not labelled:
            example.pop("label", None)
        elif columns.positive is not None:
            example["label"] = int(_text(example.get("label")) == columns.positive)
        yield example


def _text(value: Any) -> str:
    """Return what a table of text has of a label."""
    if hasattr(value, "dtype") and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)


# -- Arrow -------------------------------------------------------------------------------------------------


def arrow_of(piece: Any, columns: Columns) -> Any:
    """Return a table of Arrow that is the same as the rows of a piece; None where there is none."""
    arrow = import_arrow()
    if arrow is None:
        return None
    try:
        table = _converted(arrow, piece)
    except (arrow.ArrowException, TypeError, ValueError, OverflowError):
        return None  # such as columns of values of several types: each row says what it has
    if table is None:
        return None
    found = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        plain = _plain(arrow, column, table.num_rows)
        if plain is None or not _sendable(arrow, plain.type, columns.members.get(name, ""), columns.positive):
            return None
        found.append(plain)
    return arrow.table(found, names=table.column_names)


def _converted(arrow: Any, piece: Any) -> Any:
    if isinstance(piece, arrow.Table):
        return piece
    if not hasattr(piece, "iloc"):
        return piece.to_arrow()
    if not all(isinstance(name, str) for name in piece.columns):
        return None
    table = arrow.Table.from_pandas(piece, preserve_index=False)
    for name, held in piece.dtypes.items():  # of what objects hold, Arrow takes the first type that fits all
        if str(held) == "object" and _meaning(arrow, table.schema.field(name).type) not in _OF_OBJECTS:
            return None
    return table


def _plain(arrow: Any, column: Any, rows: int) -> Any:
    """Return a column without what Arrow's streams are large with: long dictionaries, and views of text."""
    kind, tests = column.type, arrow.types
    if tests.is_dictionary(kind) and sum(len(chunk.dictionary) for chunk in column.chunks) > rows:
        column = arrow.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], kind.value_type)
    if tests.is_run_end_encoded(kind):
        return None
    if tests.is_string_view(column.type):
        return column.cast(arrow.large_string())
    if tests.is_binary_view(column.type):
        return column.cast(arrow.large_binary())
    return column


_OF_OBJECTS: Final = ("text", "truth", "integer", "float", "nothing")

_MEANINGS: Final = {
    "text": ("is_string", "is_large_string"),
    "truth": ("is_boolean",),
    "integer": ("is_integer",),
    "float": ("is_floating",),
    "moment": ("is_timestamp", "is_date", "is_time"),
    "nothing": ("is_null",),
}

_TAKEN: Final = {
    "label": ("truth", "integer", "float"),
    "weight": ("integer", "float"),
    "id": ("text", "integer"),
    "time": ("integer", "moment"),
}
"""What a column may hold that is a member of examples: what an example of JSON may have there."""


def _meaning(arrow: Any, kind: Any) -> str:
    """Return what a type holds; nothing for what is sent row by row."""
    tests = arrow.types
    return next(
        (what for what, names in _MEANINGS.items() if any(getattr(tests, name)(kind) for name in names)), ""
    )


def _sendable(arrow: Any, kind: Any, member: str, positive: str | None) -> bool:
    """Whether values of a type are the same as an example's, as features or as one of its members."""
    tests = arrow.types
    if tests.is_dictionary(kind) or (not member and (tests.is_list(kind) or tests.is_large_list(kind))):
        kind = kind.value_type
    meaning = _meaning(arrow, kind)
    if not member:
        return meaning != ""
    if member == "label" and positive is not None:
        return meaning in (*_TAKEN[member], "text")
    if member == "time" and meaning == "moment":  # one without a zone is refused: of an example too
        return bool(tests.is_timestamp(kind) and kind.tz is not None)
    return meaning in _TAKEN[member]


def _stream(table: Any) -> bytes:
    arrow = import_arrow()
    # A slice may bring bytes of its neighbours with it: copied, the same rows are the same bytes.
    table = table.replace_schema_metadata(None).take(arrow.array(range(table.num_rows))).combine_chunks()
    sink = arrow.BufferOutputStream()
    with arrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body
