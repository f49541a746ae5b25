"""Rows with names -> the columns of a table, one for each field, where these say the same.

A first reading of all rows tells which columns there are (:class:`TableColumns`). A second one makes cells of
them (:func:`cells_of_rows`), and says of each row that has none why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Final, TypeAlias

from nonzero.errors import InputError, LineError
from nonzero.formats.assembly import PlainRow
from nonzero.formats.named_rows import NamedRows
from nonzero.formats.numbers import shown
from nonzero.formats.writing import NamedFeature, features_of

Cell: TypeAlias = str | float | list[Any] | None
"""What a row has in a column: None for nothing, a list where the column is one of lists."""

ROLES: Final = ("label", "weight", "id", "time")
"""The columns that are no features, in the order in which they stand."""

_TRUTHS: Final = {b"True", b"False", b"true", b"false"}


@dataclass(slots=True)
class FieldColumn:
    """What was seen of a field."""

    numbers: bool = False
    """Whether it has values that are numbers."""
    texts: bool = False
    """Whether it has values that are categories."""
    most: int = 0
    """How many values a row has of it at most."""
    truths: bool = True
    """Whether all of its categories are True, False, true or false."""
    capitals: bool = False
    """Whether one of them is True or False."""

    @property
    def is_number(self) -> bool:
        """Whether the column is one of numbers."""
        return self.numbers and not self.texts


class TableColumns:
    r"""The columns that rows with names need.

    Parameters
    ----------
    separator
        What joins namespaces and words in the names of the rows.
    lists
        Whether a column may be one of lists.

    Attributes
    ----------
    fields
        What was seen of each field, by its name, in the order in which they came.
    roles
        The names of the columns of label, weight, id and time, of those that came.

    Examples
    --------
    >>> from nonzero import formats
    >>> from nonzero.formats.named_rows import read_named
    >>> columns = TableColumns("=", lists=False)
    >>> [found, _] = read_named([b"1 |site news |ad a b\n"], formats.reader("vw"))
    >>> columns.look(found.rows)
    >>> columns.names, cells_of_rows(columns, found)[1][0].reason
    (['label', 'site', 'ad'], "the field 'ad' has 2 values, and a cell of text has one")
    """

    def __init__(self, separator: str, *, lists: bool) -> None:
        self.separator = separator
        self.lists = lists
        self.fields: dict[bytes, FieldColumn] = {}
        self._came: set[str] = set()

    def look(self, rows: Sequence[PlainRow]) -> None:
        """Take note of what some rows have.

        Parameters
        ----------
        rows
            The next ones.
        """
        for row in rows:
            counts: dict[bytes, int] = {}
            for feature in features_of(row, self.separator):
                if not feature.field:
                    continue
                counts[feature.field] = counts.get(feature.field, 0) + 1
                field = self.fields.setdefault(feature.field, FieldColumn())
                if feature.text is None:
                    field.numbers = True
                else:
                    field.texts = True
                    field.truths = field.truths and feature.text in _TRUTHS
                    field.capitals = field.capitals or feature.text in (b"True", b"False")
            for name, count in counts.items():
                self.fields[name].most = max(self.fields[name].most, count)
            given = (not isnan(row.label), row.weight != 1, row.id is not None, row.time >= 0)
            self._came.update(role for role, there in zip(ROLES, given, strict=True) if there)

    @property
    def roles(self) -> dict[str, str]:
        """The columns that are no features, by what they hold; no field has such a name."""
        taken = {name.decode(errors="replace") for name in self.fields}
        found: dict[str, str] = {}
        for role in ROLES:
            name = role
            while name in taken:
                name = f"example_{name}"
            if role in self._came:
                found[role] = name
        return found

    @property
    def names(self) -> list[str]:
        """The names of all columns, in their order."""
        return [*self.roles.values(), *(name.decode(errors="replace") for name in self.fields)]

    @property
    def numbers(self) -> list[str]:
        """The names of the columns of numbers."""
        return [name.decode(errors="replace") for name, field in self.fields.items() if field.is_number]

    def is_list(self, name: bytes) -> bool:
        """Whether the column of a field is one of lists."""
        return self.lists and self.fields[name].most > 1


def cells_of_rows(columns: TableColumns, found: NamedRows) -> tuple[dict[int, list[Cell]], list[LineError]]:
    """Return the cells of rows, and what is wrong with those that have none.

    Parameters
    ----------
    columns
        The columns, which all rows have been seen by.
    found
        The rows.

    Returns
    -------
    dict
        By the place of each row, its cells in the order of the columns.
    list of LineError
        The rows that no cells say, by the numbers of their lines, and why.
    """
    cells: dict[int, list[Cell]] = {}
    errors = []
    for r, row in enumerate(found.rows):
        try:
            cells[r] = _cells_of(columns, row)
        except InputError as error:
            errors.append(LineError(int(found.parsed.lines[r]), str(error)))
    return cells, errors


def _cells_of(columns: TableColumns, row: PlainRow) -> list[Cell]:
    if len(row.names) < len(row.indices):
        raise InputError("it has features by index, which no column is called by")
    by_field: dict[bytes, list[Any]] = {}
    for feature in features_of(row, columns.separator):
        by_field.setdefault(feature.field, []).append(_value_of(columns, feature))
    roles: dict[str, Cell] = {
        "label": None if isnan(row.label) else str(int(row.label)),
        "weight": row.weight,
        "id": row.id,
        "time": str(row.time) if row.time >= 0 else None,
    }
    cells = [roles[role] for role in columns.roles]
    for name in columns.fields:
        values = by_field.get(name, [])
        if len(values) > 1 and not columns.lists:
            raise InputError(f"the field {shown(name)} has {len(values)} values, and a cell of text has one")
        is_list = columns.is_list(name)
        cells.append((values if is_list else values[0]) if values else None)
    return cells


def _value_of(columns: TableColumns, feature: NamedFeature) -> str | float:
    """Return a feature's value as its column has it.

    Raises
    ------
    InputError
        Where no column has it.
    """
    if not feature.field:
        raise InputError(f"the feature {shown(feature.text or b'')} has no field, which a column would be")
    field = columns.fields[feature.field]
    if feature.text is None:
        if not field.is_number:
            raise InputError(
                f"the field {shown(feature.field)} is a number here and a text elsewhere, and a column is "
                "one of them; say which: --category or --number"
            )
        return feature.value
    if feature.value != 1:
        raise InputError(
            f"the category {shown(feature.field + b'=' + feature.text)} has the value {feature.value:g}, "
            "which a cell has no place for"
        )
    if not feature.text:
        raise InputError(f"the field {shown(feature.field)} is an empty text, which a cell has not")
    if field.truths and field.capitals:
        raise InputError(
            f"the field {shown(feature.field)} holds True and False alone, which in a column are true and "
            "false"
        )
    try:
        return feature.text.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(feature.text)} is not UTF-8, as cells are") from error
