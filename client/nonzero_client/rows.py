"""Rows of a DataFrame, or of any table -> examples."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from nonzero_client.columns import Columns, check_columns
from nonzero_client.errors import InputError

AT_ONCE: Final = 1024
"""So many rows of an Arrow table are Python values at a time."""

_NOTHING: Final = frozenset({"NAType", "NaTType"})
"""What pandas has in the place of a missing value, beside None and NaN."""

Row = Iterable[tuple[str, Any]]


def from_rows(
    rows: Any,
    *,
    label: str | None = None,
    weight: str | None = None,
    id: str | None = None,
    time: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Make examples of the rows of a table: of pandas, polars or Arrow, or flat mappings.

    Every column is a feature, but for those that are named here. What is missing is left out: None, nulls,
    and of pandas NaN, NaT and NA. NaN elsewhere is no missing value, and no feature either: such an example
    is refused, as the library refuses it.

    Parameters
    ----------
    rows
        A DataFrame of pandas or polars, a table, a record batch or a reader of pyarrow, or an iterable of
        mappings such as ``csv.DictReader``. It is read as examples are asked for.
    label, weight
        The columns of the label and of the importance weight.
    id
        The column of the id. A whole number becomes its digits.
    time
        The column of the time: milliseconds since 1970, or times that say their zone.

    Yields
    ------
    dict
        An example: ``features``, and the members that were named.

    Raises
    ------
    InputError
        Where there is no such column, two have one name, or a time does not say its zone.

    Examples
    --------
    >>> list(from_rows([{"site": "news", "bid": 0.5, "click": 1}], label="click"))
    [{'features': {'site': 'news', 'bid': 0.5}, 'label': 1}]
    """
    members = Columns(label, weight, id, time).members
    found = _rows_of(rows)
    if isinstance(found, tuple):
        columns, read = found
        check_columns(columns, members)
        return _examples(read(), members)
    return _examples(found, members)


def is_frame(value: Any) -> bool:
    """Whether something is a table, of which :func:`from_rows` makes examples."""
    return any(hasattr(value, name) for name in ("iter_rows", "itertuples", "to_batches", "to_pylist")) or (
        hasattr(value, "__arrow_c_stream__")
    )


def columns_of(rows: Any) -> list[str]:
    """Return the names of a table's columns.

    Raises
    ------
    InputError
        For what is no table.
    """
    found = _rows_of(rows)
    if not isinstance(found, tuple):
        raise InputError(f"a {type(rows).__name__} has no columns; from_rows() makes examples of mappings")
    return found[0]


def _rows_of(rows: Any) -> tuple[list[str], Callable[[], Iterator[Row]]] | Iterator[Row]:
    """Return the columns of a table, and what reads its rows; of mappings only their rows."""
    if hasattr(rows, "iter_rows") and hasattr(rows, "columns"):  # polars
        columns = list(map(str, rows.columns))
        return columns, lambda: (_present(columns, row) for row in rows.iter_rows())
    if hasattr(rows, "itertuples") and hasattr(rows, "columns"):  # pandas
        columns = list(map(str, rows.columns))
        return columns, lambda: (
            ((name, value) for name, value in zip(columns, row, strict=True) if not _is_missing(value))
            for row in rows.itertuples(index=False, name=None)
        )
    if hasattr(rows, "collect"):  # of polars, but lazy: to ask for its schema would be work
        raise InputError(f"a {type(rows).__name__} has no rows yet; give its collect()")
    if hasattr(rows, "schema") and hasattr(rows.schema, "names"):  # pyarrow
        columns = list(rows.schema.names)
        return columns, lambda: (_present(columns, row.values()) for row in _arrow_rows(rows))
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
        raise InputError(
            f"{type(rows).__name__} has no rows; give a DataFrame of pandas or polars, a "
            "table of pyarrow, or an iterable of mappings"
        )
    return map(_items, rows)


def _present(columns: Iterable[str], row: Iterable[Any]) -> Row:
    return ((name, value) for name, value in zip(columns, row, strict=True) if value is not None)


def _is_missing(value: Any) -> bool:
    """Whether pandas takes a value for a missing one."""
    if value is None or type(value).__name__ in _NOTHING:
        return True
    return isinstance(value, float) and value != value


def _arrow_rows(rows: Any) -> Iterator[dict[str, Any]]:
    batches = rows.to_batches() if hasattr(rows, "to_batches") else rows
    for batch in [batches] if hasattr(batches, "to_pylist") else batches:
        for first in range(0, batch.num_rows, AT_ONCE):
            yield from batch.slice(first, AT_ONCE).to_pylist()


def _items(row: Any) -> Row:
    if not isinstance(row, Mapping):
        raise InputError(
            f"{row!r:.40}, of type {type(row).__name__}, is no row; a row is a mapping of values"
        )
    return ((str(name), value) for name, value in row.items() if value is not None)


def _examples(rows: Iterable[Row], members: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        features: dict[str, Any] = {}
        example: dict[str, Any] = {"features": features}
        for name, value in row:
            member = members.get(name)
            if member is None:
                features[name] = value
            else:
                example[member] = _member(member, value)
        yield example


def _member(member: str, value: Any) -> Any:
    """Return a member of an example as the service takes it."""
    if hasattr(value, "dtype") and hasattr(value, "item"):
        value = value.item()
    if member == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if member == "time" and isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise InputError(
                f"the time {value.isoformat()} does not say its zone; give the column one, such as UTC"
            )
        return (value - _EPOCH) // datetime.timedelta(milliseconds=1)
    return value


_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
