"""What the columns of a stream of Arrow are for: features, the label, weight, id or time, or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nonzero.errors import FormatError, SettingsError
from nonzero.fields.known import CATEGORY, INFER, NUMBER
from nonzero.fields.schema import Schema
from nonzero.formats.arrow_cells import ArrowColumn
from nonzero.formats.arrow_roles import check_role
from nonzero.formats.delimited_columns import BOOLEAN, LABEL, LEFT_OUT
from nonzero.formats.delimited_columns import NUMBER as A_NUMBER
from nonzero.formats.delimited_labels import named_twice
from nonzero.formats.delimited_parts import Parts
from nonzero.formats.times import TimeFormat

_INDEX: Final = re.compile(r"__index_level_\d+__")
"""What pandas calls an index without a name, which is a column of what it hands over."""


class ArrowColumns:
    """Decides what the columns of one stream are.

    Parameters
    ----------
    types
        The names and types of the columns, a ``pyarrow.Schema``.
    label
        The column that holds the label; None for the one that is called like one.
    weight, id, time
        The columns that hold importance weights, ids and times; None for none.
    time_format
        How times are written that are texts or numbers: see :class:`~nonzero.formats.times.TimeFormat`. None:
        numbers are milliseconds, and texts are refused.
    numeric, ignore
        Columns that hold numbers, and columns that are left out.
    schema
        What the fields are.
    positive
        The label that is a click; every other, and none, is no click.
    boolean
        The columns of text in which True is ``true`` and False ``false``.
    labels
        Whether labels are read; else they are not looked at.
    judged
        Whether a column of which the schema says nothing is a category, as in delimited text. Else it is what
        its type says: text is a category, numbers and truths are numbers.

    Attributes
    ----------
    names
        The names of all columns, but for an index without a name.
    columns
        The names of those that are read, in their order.
    label
        The column that holds the label; None for none.
    has_labels
        Whether there is one, and it is read.
    roles
        What those are for that are read and no features, by name: ``label``, ``weight``, ``id`` or ``time``.
    positive
        The label that is a click, as bytes; none where 1 and true are.
    times
        How times are written that are texts or numbers; None where nothing says it.
    features
        The columns that features are made of.
    inferred
        The places among them of those of which the schema says nothing.
    schema
        What the fields are.
    notes
        What there is to say of the columns, in sentences.

    Raises
    ------
    FormatError
        For a column that is missing, stands twice, or is of a type that is nothing of what it should be.
    SettingsError
        For a column given two parts, or another one than the schema gives it.
    """

    def __init__(
        self,
        types: Any,
        *,
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        time_format: str | None = None,
        numeric: Sequence[str] = (),
        ignore: Sequence[str] = (),
        schema: Schema | Mapping[str, Any] | None = None,
        positive: str | None = None,
        boolean: Sequence[str] = (),
        labels: bool = True,
        judged: bool = False,
    ) -> None:
        self.schema = Schema.of(schema)
        names: list[str] = types.names
        twice = named_twice(names)
        if twice is not None:
            raise FormatError(f"there are two columns {twice!r}; rename one")
        self.roles = {
            name: role for role, name in (("weight", weight), ("id", id), ("time", time)) if name is not None
        }
        _check_roles(label, weight, id, time, names)
        parts = Parts(self.schema, label, numeric, ignore, labels=labels, boolean=boolean)
        self.notes = parts.notes
        unnamed = _unnamed_indices((types.metadata or {}).get(b"pandas"), names)
        if unnamed:
            self.notes.append("an index without a name is left out")
        self.names = [name for name in names if name not in unnamed]
        others = [name for name in self.names if name not in self.roles]
        kinds = dict(zip(others, parts.decide(others), strict=True))
        self.label = parts.label
        self.positive = b"" if positive is None else positive.encode()
        if positive is not None and not positive:
            raise SettingsError("positive is empty; give the label that is a click")
        self.has_labels = labels and self.label is not None
        if labels and self.label is not None:
            self.roles[self.label] = "label"
        self.times = None if time_format is None else TimeFormat(time_format)
        for name, role in self.roles.items():
            check_role(role, name, types.field(name).type, self.times)
        self.features: list[ArrowColumn] = []
        self.inferred: list[int] = []
        for name, kind in kinds.items():
            if kind in (LABEL, LEFT_OUT):
                continue
            said = CATEGORY
            if kind == A_NUMBER:
                said = NUMBER
            elif parts.said_of(name) == INFER:
                self.inferred.append(len(self.features))
                said = CATEGORY if judged or kind == BOOLEAN else INFER
            self.features.append(ArrowColumn(name, said, types.field(name).type, truths=kind == BOOLEAN))
        read = {column.name for column in self.features} | self.roles.keys()
        self.columns = [name for name in names if name in read]


def _check_roles(
    label: str | None, weight: str | None, id: str | None, time: str | None, names: Sequence[str]
) -> None:
    """Refuse two parts for one column, and columns that are not there."""
    given = [name for name in (label, weight, id, time) if name is not None]
    for name in given:
        if given.count(name) > 1:
            raise SettingsError(
                f"the column {name!r} is named twice among label, weight, id and time; name it once"
            )
        if name not in names:
            raise FormatError(f"there is no column {name!r}; there are {', '.join(names)}")


def _unnamed_indices(written: bytes | None, names: Sequence[str]) -> list[str]:
    """Return the columns that are an index without a name, by what pandas has written, if it has."""
    if written is None:
        return []
    import msgspec  # here: it takes 9 ms, which a command on other files need not pay

    try:
        said = msgspec.json.decode(written, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    indices = said.get("index_columns")
    listed = [name for name in indices if isinstance(name, str)] if isinstance(indices, list) else []
    return [name for name in listed if _INDEX.fullmatch(name) and name in names]
