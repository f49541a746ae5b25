"""DataFrames -> batches: by the Arrow C stream where that is the same as their rows, else row by row."""

from __future__ import annotations

from typing import Any, Final

import narwhals.stable.v2 as nw
from narwhals.exceptions import DuplicateError
from numpy.typing import ArrayLike

from nonzero.batches.batch import Batch
from nonzero.errors import InputError
from nonzero.fields.schema import Schema
from nonzero.formats.arrow_import import MissingArrowError, stream_of
from nonzero.formats.delimited_labels import LABELS
from nonzero.frames.rows import rows_of

_OF_OBJECTS: Final = frozenset({"string", "large_string", "bool", "int64", "double", "null"})
"""The types of Arrow in which a column of Python objects is what it was. Of objects of several types Arrow
makes the first that fits all: of dates and times it makes dates."""


def batch_of_frame(
    frame: Any,
    labels: ArrayLike | None,
    weights: ArrayLike | None,
    schema: Schema,
    *,
    in_order: bool = False,
) -> Batch:
    """Make a batch of the rows of a DataFrame, as :meth:`nonzero.Batch.from_dicts` would.

    Parameters
    ----------
    frame
        Any that narwhals knows.
    labels, weights
        As for :meth:`nonzero.Batch.from_dicts`.
    schema
        What the fields are.
    in_order
        Whether columns are taken in alphabetical order.

    Returns
    -------
    Batch
        One row a row, in their order.

    Raises
    ------
    BatchError
        For two columns of one name, and for a value that is no feature, naming its row and name.

    Examples
    --------
    >>> import polars
    >>> frame = polars.DataFrame({"site": ["news", None], "bid": [0.5, 2.0]})
    >>> batch_of_frame(frame, [1, 0], None, Schema()).labels.tolist()
    [1.0, 0.0]
    """
    batch = _by_arrow(frame, schema, in_order=in_order)
    if batch is None:
        return Batch.from_dicts(rows_of(frame, in_order=in_order), labels, weights, schema=schema)
    return batch.labelled(labels, weights)


def _by_arrow(frame: Any, schema: Schema, *, in_order: bool) -> Batch | None:
    """Read a frame by the Arrow C stream; None where its rows are another thing, or say what is wrong."""
    try:
        whole = nw.from_native(frame, eager_only=True)
    except DuplicateError:
        return None
    kinds = whole.schema
    if not kinds or not all(isinstance(name, str) for name in kinds):
        return None
    if any(
        name.lower() in LABELS for name in kinds
    ):  # here it is a feature, and of Arrow it would be a label
        return None
    objects = [name for name, kind in kinds.items() if kind == nw.Object]
    if objects and not whole.implementation.is_pandas_like():
        return None
    if in_order:
        whole = whole.select(sorted(kinds))
    native = nw.maybe_reset_index(whole).to_native()  # an index is no column
    if not hasattr(native, "__arrow_c_stream__"):
        return None
    try:
        with stream_of(native) as stream:
            if not all(str(stream.schema.field(name).type) in _OF_OBJECTS for name in objects):
                return None
            return Batch.from_arrow(stream, schema=schema)
    except (InputError, MissingArrowError):
        return None
