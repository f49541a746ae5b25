"""Tables -> batches: rows as Arrow or as lines, and the records of tables of text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from nonzero_client.batches import ALL, Batch, Batcher, all_examples
from nonzero_client.columns import Columns
from nonzero_client.csv_records import Records
from nonzero_client.errors import InputError
from nonzero_client.rows import is_frame
from nonzero_client.sources import ARROW, JSON, MEDIA_TYPES, Aside, Examples, Source, lines_of
from nonzero_client.tables import Slice, file_tables, slices_of
from nonzero_client.values import example_line


async def table_batches(
    table: Any, size: int, aside: Aside, columns: Columns, *, labelled: bool
) -> AsyncIterator[Batch]:
    """Cut a table into batches of rows; what is no table is the path of a columnar file."""
    if isinstance(table, tuple):
        path, form = table
        table = await aside(lambda: file_tables(path, form))
    slices = slices_of(table, columns, size, labelled=labelled)
    first = 1
    while (one := await aside(lambda: next(slices, None))) is not None:
        yield batch_of(one, first)
        first += one.rows


def batch_of(one: Slice, first: int) -> Batch:
    """Return a slice of a table as it is sent; `first` is the number of its first row."""

    def as_lines() -> Batch:
        batcher = Batcher(ALL, ALL, first)
        for example in one.examples():
            try:
                batcher.add(example_line(example) + b"\n")
            except InputError as error:
                batcher.refuse(str(error))
        return batcher.rest() or Batch()

    if not one.arrow:
        return as_lines()
    numbers = list(range(first, first + one.rows))
    query = one.columns.query
    return Batch(numbers, media_type=ARROW, query=query, arrow=one.arrow, as_lines=as_lines)


def whole_batch(examples: Examples, columns: Columns, *, labelled: bool) -> Batch:
    """Return all examples of one request, or all rows of a table.

    Parameters
    ----------
    examples
        They, or a table.
    columns
        What is said of the table's columns.
    labelled
        Whether they are to be learned from.

    Raises
    ------
    InputError
        Where some are none; ``errors`` names them.
    """
    if not is_frame(examples):
        columns.refuse("an example has members of its own; from_rows(..., label=...) makes some of mappings")
        return _as_json(examples)
    found = list(slices_of(examples, columns, ALL, labelled=labelled, most=ALL))
    if not found:
        return Batch(media_type=JSON)
    [one] = found
    if not one.arrow:
        return _as_json(one.examples())
    batch = batch_of(one, 1)
    batch.as_lines = lambda: _as_json(one.examples())
    return batch


def _as_json(examples: Examples) -> Batch:
    lines = list(all_examples(examples))
    return Batch(list(range(1, len(lines) + 1)), lines, media_type=JSON)


async def record_batches(
    source: Source, size: int, aside: Aside, form: str, columns: Columns
) -> AsyncIterator[Batch]:
    """Cut a table of text into batches of records, each of which has the header before it."""
    records = Records("\t" if form == "tsv" else columns.delimiter)
    batcher: Batcher | None = None
    async for line in lines_of(source, aside):
        record = records.add(line)
        if record is None:
            continue
        batcher = batcher or _of_records(records.head, size, form, columns)
        if (batch := batcher.add(record, record.count(b"\n") or 1)) is not None:
            yield batch
    if (record := records.rest()) is not None:
        batcher = batcher or _of_records(records.head, size, form, columns)
        if (batch := batcher.add(record)) is not None:
            yield batch
    if batcher is None:
        if (
            records.head.strip()
        ):  # a header alone is looked at too: a table whose lines end in CR has no other
            yield Batch(media_type=MEDIA_TYPES[form], query=columns.query, head=records.head)
    elif (batch := batcher.rest()) is not None:
        yield batch


def _of_records(head: bytes, size: int, form: str, columns: Columns) -> Batcher:
    def new() -> Batch:
        return Batch(media_type=MEDIA_TYPES[form], query=columns.query, head=head)

    return Batcher(size, first=head.count(b"\n") + 1, new=new)
