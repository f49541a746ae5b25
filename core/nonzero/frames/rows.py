"""The rows of a DataFrame, as mappings of features.

Narwhals reads the frames of pandas, Polars, PyArrow and others alike, and needs none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import narwhals.stable.v2 as nw
from narwhals.exceptions import DuplicateError

from nonzero.errors import BatchError

ROWS: Final = 4096
"""So many rows are Python objects at a time."""


def is_frame(given: Any) -> bool:
    """Tell whether something is a DataFrame that lies in memory."""
    return bool(nw.dependencies.is_into_dataframe(given))


def rows_of(frame: Any, *, in_order: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the rows of a DataFrame as mappings of features, as :meth:`nonzero.Batch.from_dicts` takes them.

    Parameters
    ----------
    frame
        Any that narwhals knows.
    in_order
        Whether columns are taken in alphabetical order.

    Yields
    ------
    dict
        The values of a row by the names of their columns. What is missing is None: null, and in pandas NaN
        and NaT too, which it has for null.

    Raises
    ------
    BatchError
        For two columns of one name.

    Examples
    --------
    >>> import polars
    >>> list(rows_of(polars.DataFrame({"site": ["news", None], "bid": [0.5, 2.0]})))
    [{'site': 'news', 'bid': 0.5}, {'site': None, 'bid': 2.0}]
    """
    try:
        whole = nw.from_native(frame, eager_only=True)
    except DuplicateError as error:
        said = " ".join(str(error).split())  # it stands on several lines
        raise BatchError(f"two columns have one name; give each its own ({said})") from error
    names = sorted(whole.columns, key=str) if in_order else whole.columns
    for start in range(0, len(whole), ROWS):
        piece = whole[start : start + ROWS]
        for values in zip(*(_values(piece[name]) for name in names), strict=True):
            yield dict(zip(names, values, strict=True))


def _values(column: nw.Series[Any]) -> list[Any]:
    """Return the values of a column; None for each that is missing."""
    values, missing = column.to_list(), column.is_null()
    if not missing.any():
        return values
    return [None if lost else value for lost, value in zip(missing.to_list(), values, strict=True)]
