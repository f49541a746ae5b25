"""The rows of columnar files with the names of their features, as the plain parsers of text have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nonzero.batches.batch import Batch
from nonzero.fields.hashing import field_of, index_of
from nonzero.formats.arrow_cells import ArrowColumn
from nonzero.formats.arrow_values import cells_as_text
from nonzero.formats.assembly import PlainRow
from nonzero.formats.named_rows import NamedRows
from nonzero.sources.columnar import ColumnarReader


def read_named_columns(reader: ColumnarReader) -> Iterator[NamedRows]:
    """Read a columnar file with the names of its features.

    Parameters
    ----------
    reader
        A new one.

    Yields
    ------
    NamedRows
        What each part of it held.

    Raises
    ------
    FormatError
        Where the file is damaged.
    """
    form = reader.format
    for batch in reader.file.batches(form.columns):
        names: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        for column in form.features:
            names.update(_names_of(column, batch.column(batch.schema.get_field_index(column.name))))
        for parsed in form.read(batch):
            rows = [_row_of(parsed.batch, r, names) for r in range(len(parsed.batch))]
            yield NamedRows(parsed, rows)


def _names_of(column: ArrowColumn, array: Any) -> Iterator[tuple[tuple[int, int], tuple[bytes, bytes]]]:
    """Yield the names of a column's features, with their indices and their field's number."""
    field = column.name.encode()
    if column.constant >= 0:
        yield (index_of(field), field_of(field)), (field, field)
        return
    for text in {*cells_as_text(array.flatten() if column.lists else array, column.name)}:
        name = field + b"=" + column.word_of(text)
        yield (index_of(name), field_of(field)), (name, field)


def _row_of(batch: Batch, r: int, names: dict[tuple[int, int], tuple[bytes, bytes]]) -> PlainRow:
    span = slice(batch.indptr[r], batch.indptr[r + 1])
    indices = batch.indices[span].tolist()
    fields = [] if batch.fields is None else batch.fields[span].tolist()
    return PlainRow(
        indices,
        batch.explicit_values()[span].astype(np.float64).tolist(),
        fields,
        float(batch.labels[r]),
        float(batch.weights[r]),
        None if batch.ids is None else batch.ids[r],
        -1 if batch.times is None else int(batch.times[r]),
        {place: names[key] for place, key in enumerate(zip(indices, fields, strict=True))},
    )
