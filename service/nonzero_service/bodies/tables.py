"""Tables as bodies: what a request says of their columns, and the reader of those that are text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from nonzero import FormatError, Schema
from nonzero.formats import Reader
from nonzero.formats.delimited import Delimited
from nonzero.formats.delimited_labels import LABELS
from nonzero_service.bodies.content import Content
from nonzero_service.media_types import ARROW, TABLES, TSV
from nonzero_service.problems import Problem

SHOWN: Final = 10
"""So many columns are named in a problem."""

OF_TEXT: Final = ("time_format", "delimiter", "columns")
"""What can be said of tables of text alone: in Arrow it stands in the body."""

_DELIMITERS: Final = {"tab": "\t", "\\t": "\t"}
"""What stands for a tab, which is hard to type in a query."""


class TableQuery(NamedTuple):
    """What a request says of a table's columns; None: nothing."""

    label: str | None = None
    weight: str | None = None
    id: str | None = None
    time: str | None = None
    positive: str | None = None
    """The label that is a click, where all others are none."""
    time_format: str | None = None
    """How times are written, of text."""
    delimiter: str | None = None
    """What stands between columns, of text."""
    columns: str | None = None
    """The names of the columns, of text without a header, with commas between them."""

    @property
    def roles(self) -> dict[str, Any]:
        """What is said of any table, whether its columns are text or have types."""
        return {name: value for name, value in self._asdict().items() if name not in OF_TEXT}

    @property
    def said(self) -> str:
        """All that is said, for what must know whether a body is to be read as one before was."""
        return "".join(f"\n{name}={value}" for name, value in self._asdict().items() if value is not None)


def table_query(query: Mapping[str, str], content: Content) -> TableQuery | None:
    """Return what a query says of the columns of a table; None for a body that is none.

    Raises
    ------
    Problem
        422 where it says something, and the body is no table, or none that has what it says; 415 for a table
        without a header whose columns it does not name.
    """
    media = content.media
    given = {name: query[name] for name in TableQuery._fields if name in query}
    if media not in TABLES:
        if given:
            raise Problem(
                422,
                f"the query has {', '.join(given)}, which is about the columns of a table "
                f"({', '.join(TABLES)}); an example of {media or 'another type'} has its own members",
            )
        return None
    for name in given:
        if name in (OF_TEXT if media == ARROW else ("delimiter",) if media == TSV else ()):
            raise Problem(422, f"the query has {name}, and {media} tells that itself; leave it out")
    if content.headless and "columns" not in given and media != ARROW:
        raise Problem(
            415,
            "the table has no header; name its columns in their order, by ?columns=click,site,bid, or let "
            "its first line do so",
        )
    if "delimiter" in given:
        given["delimiter"] = _DELIMITERS.get(given["delimiter"], given["delimiter"])
    return TableQuery(**given)


def table_reader(
    media: str,
    query: TableQuery,
    schema: Schema,
    boolean: Sequence[str],
    max_line: int,
    *,
    labelled: bool,
) -> Reader:
    """Return the reader of a table of text, whose columns are what the schema says, or else categories.

    Parameters
    ----------
    media
        Its type.
    query
        What the request says of its columns.
    schema
        The model's.
    boolean
        The columns in which True is ``true`` and False ``false``: no stream is held back to look for more.
    max_line
        The longest record.
    labelled
        Whether it is to be learned from. Else its labels are not looked at.

    Raises
    ------
    SettingsError
        For a delimiter that is none, and a column that is named twice.
    """
    options: dict[str, Any] = {name: value for name, value in query._asdict().items() if value is not None}
    options |= {"schema": schema, "boolean": boolean, "labels": labelled}
    if media == TSV:
        options["delimiter"] = "\t"
    if query.columns is not None:
        options["columns"] = query.columns.split(",")
    if not labelled:
        options.pop("positive", None)
    return Reader((_Labelled if labelled else Delimited)(**options), max_line)


class _Labelled(Delimited):
    """A table that is to be learned from: one without a column of labels is refused, and not row by row."""

    def read_header(self, line: bytes) -> bool:
        is_header = super().read_header(line)
        if is_header and self.label is None:
            others = "" if len(self.columns) <= SHOWN else f" and {len(self.columns) - SHOWN} more"
            raise FormatError(
                f"the header has {', '.join(map(repr, self.columns[:SHOWN]))}{others}, and no column is "
                f"called {', '.join(LABELS)}: say which holds the labels, by ?label=COLUMN. The first line "
                "of a table is its header"
            )
        return is_header
