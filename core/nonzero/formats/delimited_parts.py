"""Which part each column of a table has: the label, a feature of one kind or the other, or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nonzero.errors import FormatError, SettingsError
from nonzero.fields import known
from nonzero.fields.schema import Schema
from nonzero.formats.delimited_columns import BOOLEAN, CATEGORY, LABEL, LEFT_OUT, NUMBER
from nonzero.formats.delimited_labels import LABELS, find_label
from nonzero.formats.judging import Judge


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

    Attributes
    ----------
    label
        The column that holds the label, once there was a header; None for none.
    notes
        What there is to say about the columns, in sentences.

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
    ) -> None:
        self.label = label
        self.notes: list[str] = []
        self._schema = schema
        self._labels = labels
        self._boolean = boolean or ()
        self._numeric = [numeric] if isinstance(numeric, str) else list(numeric)
        self._ignore = [ignore] if isinstance(ignore, str) else list(ignore)
        self._named = [*self._numeric, *self._ignore, *([] if label is None else [label])]
        twice = next((column for column in self._named if self._named.count(column) > 1), None)
        if twice is not None:
            raise SettingsError(
                f"the column {twice!r} is named twice among label, numeric and ignore; name it once"
            )
        for column in [*self._numeric, *self._ignore]:
            kind = "number" if column in self._numeric else "ignore"
            declared = schema.fields.get(column, kind)
            if declared != kind:
                raise SettingsError(
                    f"the column {column!r} is said to be {kind}, and the schema says {declared}: it binds"
                )

    def decide(self, columns: Sequence[str]) -> list[int]:
        """Return the part of each column of a header.

        Raises
        ------
        FormatError
            Where a name stands twice, a column that was named is not there, it is not clear which one is the
            label, or the schema refuses one.
        """
        twice = next((column for column in columns if column and columns.count(column) > 1), None)
        if twice is not None:
            raise FormatError(f"the header has the column {twice!r} twice; rename one")
        for column in self._named:
            if column not in columns:
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

    def _find_label(self, columns: Sequence[str]) -> None:
        """Find the label's column, and say what there is to say of it."""
        spoken_for = {*self._numeric, *self._ignore, *self._schema.fields}
        free = [
            column
            for column in columns
            if column not in spoken_for and self._schema.kind_of(column) != "ignore"
        ]
        called = [column for column in free if column.lower() in LABELS and column != self.label]
        if not self._labels:
            if self.label is None:
                self._ignore += called
        elif self.label is None:
            self.label = find_label(free)
            if self.label is None:
                self.notes.append(f"no column is called {', '.join(LABELS)}: the rows have no labels")
        elif called:
            self.notes.append(
                f"a feature is called like a label: {', '.join(called)}; leave it out by "
                f"--ignore {','.join(called)} if it tells of clicks too"
            )

    def _part_of(self, column: str) -> int:
        if column == self.label:
            return LABEL if self._labels else LEFT_OUT
        if not column or column in self._ignore:
            return LEFT_OUT
        if column in self._numeric:
            return NUMBER
        match self.said_of(column):
            case known.REFUSE:
                raise FormatError(self._schema.unknown_field(column))
            case known.NUMBER:
                return NUMBER
            case known.IGNORE:
                return LEFT_OUT
        return BOOLEAN if column in self._boolean else CATEGORY
