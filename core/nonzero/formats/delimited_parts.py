"""Which part each column of a table has: the label, a feature of one kind or the other, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from nonzero.errors import FormatError, SettingsError
from nonzero.fields import known
from nonzero.fields.schema import Schema
from nonzero.formats.delimited_columns import (
    BOOLEAN,
    BUCKET,
    CATEGORY,
    HOUR,
    LABEL,
    LEFT_OUT,
    NUMBER,
    ROLES,
)
from nonzero.formats.delimited_labels import LABELS, find_label, named_twice
from nonzero.formats.judging import Judge
from nonzero.formats.layouts import TableLayout

_NO_LAYOUT: Final = TableLayout()

_NAMED: Final = 20
"""So many columns are named where none is called like a label."""


class Parts:
    """The parts of a table's columns, by what was said of them, their names, and their first values.

    Parameters
    ----------
    schema
        What the fields are.
    label
        The column that holds the label; None for the one that is called like one.
    numeric, ignore
        Columns that hold numbers, and columns that are left out.
    labels
        Whether labels are read.
    boolean
        The columns of True and False, where they are known.
    roles
        The columns of the weight, the id and the time (``"weight"``, ``"id"``, ``"time"``).
    layout
        What is known of the columns beforehand.

    Attributes
    ----------
    label
        The column that holds the label, once there was a header; None for none.
    notes
        What there is to say about the columns, in sentences.
    made
        The fields of the features that are made of a column, by its name.

    Raises
    ------
    SettingsError
        For a column given two parts, or another one than the schema gives it.
    """

    def __init__(
        self,
        schema: Schema,
        label: str | None,
        numeric: Sequence[str],
        ignore: Sequence[str],
        *,
        labels: bool,
        boolean: Sequence[str] | None,
        roles: Mapping[str, str] | None = None,
        layout: TableLayout = _NO_LAYOUT,
    ) -> None:
        self.label = label
        self.made: dict[str, tuple[str, ...]] = {}
        self._layout = layout
        self._roles = {column: ROLES[role] for role, column in (roles or {}).items()}
        self.notes: list[str] = []
        self._schema = schema
        self._labels = labels
        self._boolean = frozenset(boolean or ())
        numeric = [numeric] if isinstance(numeric, str) else numeric
        ignore = [ignore] if isinstance(ignore, str) else ignore
        self._numeric, self._ignore = set(numeric), set(ignore)
        given = {"label": label, **(roles or {})}
        self._named = [*numeric, *ignore, *(name for name in given.values() if name is not None)]
        twice = named_twice(self._named)
        if twice is not None:
            raise SettingsError(
                f"the column {twice!r} is named twice among {', '.join([*given, 'numeric'])} and ignore; "
                "name it once"
            )
        for role, name in (roles or {}).items():
            if schema.fields.get(name, "ignore") != "ignore":
                raise SettingsError(
                    f"the column {name!r} is the {role}, which is no feature, and the schema says that it is "
                    f"a {schema.fields[name]}; say one"
                )
        for column in [*numeric, *ignore]:
            kind = "number" if column in self._numeric else "ignore"
            declared = schema.fields.get(column, kind)
            if declared != kind:
                raise SettingsError(
                    f"the column {column!r} is said to be {kind}, and the schema says {declared}: it binds"
                )

    def expect(self, columns: Sequence[str]) -> None:
        """Look for no label where its column lacks, as it does in a test set without a header."""
        if self.label is not None and self.label not in columns:
            self._named.remove(self.label)
            self.label = None

    def decide(self, columns: Sequence[str]) -> list[int]:
        """Return the part of each column of a header.

        Raises
        ------
        FormatError
            Where a name stands twice, a column that was named is not there, it is not clear which one is the
            label, or the schema refuses one.
        """
        twice = named_twice(filter(None, columns))
        if twice is not None:
            hint = (
                "; or the first line is an example: then name the columns (--columns), or the log (--format)"
                if twice.isdigit()
                else ""
            )
            raise FormatError(f"the header has the column {twice!r} twice; rename one{hint}")
        there = set(columns)
        for column in self._named:
            if column not in there:
                raise FormatError(f"there is no column {column!r}; the header has {', '.join(columns)}")
        self._find_label(columns)
        if "" in columns:
            self.notes.append("a column without a name in the header is left out")
        return [self._part_of(column) for column in columns]

    def judge(self, columns: Sequence[str], parts: list[int], rows: Iterable[Sequence[bytes]]) -> None:
        """Leave out the categories that number some first rows, and find those of True and False."""
        judge = Judge()
        judge.add(columns, rows)
        booleans, numberings = judge.booleans(), judge.numberings()
        for place, column in enumerate(columns):
            if parts[place] != CATEGORY:
                continue
            if column in booleans:
                parts[place] = BOOLEAN
            elif column in numberings and self.said_of(column) == known.INFER:
                parts[place] = LEFT_OUT
                self.notes.append(
                    f"the column {column!r} is left out: its first {numberings[column]} values number the "
                    "rows; if they do not, name it numeric, or say in the schema what it is"
                )

    def said_of(self, column: str) -> int:
        """Return what the schema says of a column."""
        return self._schema.known.meet(column.encode())

    def _make(self, column: str, fields: Sequence[str]) -> int:
        """Return the part of a column of which the layout makes features."""
        for name in fields:
            if self._schema.kind_of(name) == "number":
                raise SettingsError(
                    f"the field {name!r} is made of the column {column!r} and is a category; the schema says "
                    f"number. Declare {column!r} for its own values"
                )
            if self._schema.kind_of(name) == "refuse":
                raise FormatError(self._schema.unknown_field(name))
        self.made[column] = tuple(fields)
        if not any(self.kept_of(column)):
            return LEFT_OUT
        return BUCKET if column in self._layout.buckets else HOUR

    def kept_of(self, column: str) -> tuple[str, ...]:
        """Return the fields that are made of a column, empty texts for those that are ignored."""
        return tuple("" if self._schema.kind_of(name) == "ignore" else name for name in self.made[column])

    def _find_label(self, columns: Sequence[str]) -> None:
        """Find the label's column, and say what there is to say of it."""
        spoken_for = {*self._numeric, *self._ignore, *self._roles, *self._schema.fields}
        free = [
            column
            for column in columns
            if column not in spoken_for and self._schema.kind_of(column) != "ignore"
        ]
        called = [column for column in free if column.lower() in LABELS and column != self.label]
        if not self._labels:
            if self.label is None:
                self._ignore.update(called)
        elif self.label is None:
            self.label = find_label(free)
            if self.label is None:
                named = ", ".join(columns[:_NAMED]) + (", …" if len(columns) > _NAMED else "")
                self.notes.append(
                    f"no column is called {', '.join(LABELS)}: the rows have no labels; "
                    f"--label COLUMN says which has them, of {named}"
                )
        elif called:
            self.notes.append(
                f"a feature is called like a label: {', '.join(called)}; leave it out by "
                f"--ignore {','.join(called)} if it tells of clicks too"
            )

    def _part_of(self, column: str) -> int:
        if column == self.label:
            return LABEL if self._labels else LEFT_OUT
        if column in self._roles:
            return self._roles[column]
        if not column or column in self._ignore:
            return LEFT_OUT
        if column in self._numeric:
            return NUMBER
        fields = self._layout.fields_of(column)
        if fields is not None and self._schema.kind_of(column) in ("infer", "refuse"):
            return self._make(column, fields)
        match self.said_of(column):
            case known.REFUSE:
                raise FormatError(self._schema.unknown_field(column))
            case known.NUMBER:
                return NUMBER
            case known.IGNORE:
                return LEFT_OUT
        return BOOLEAN if column in self._boolean else CATEGORY
