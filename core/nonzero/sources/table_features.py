"""Whether rows of a table mean the same as written anew: every cell of every column, as a category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero import formats
from nonzero.batches.batch import Batch
from nonzero.errors import FormatError
from nonzero.fields.schema import Schema
from nonzero.formats import Parsed
from nonzero.formats.arrow_rows import ArrowRows
from nonzero.formats.arrow_types import listed, meaning_of
from nonzero.formats.delimited_labels import LABELS

UNREAD: Final = "it is not read as a row then"
"""Why a row is none that was passed over."""


def line_numbers(header: bytes, records: Sequence[bytes]) -> NDArray[np.int64]:
    r"""Return int64[n], the number of the line in which each record begins.

    Parameters
    ----------
    header
        What stands before them.
    records
        Without their ends.

    Examples
    --------
    >>> line_numbers(b"site\n", [b"news", b'"two\nlines"', b"sport"])
    array([2, 3, 5])
    """
    lines = [record.count(b"\n") + 1 for record in records]
    return header.count(b"\n") + 1 + np.cumsum([0, *lines], dtype=np.int64)[:-1]


class TableFeatures:
    r"""Reads rows of a table as features, whatever is the label and what is left out in training.

    Parameters
    ----------
    names
        The columns.
    unread
        Columns that are no features, and not looked at.

    Examples
    --------
    >>> features = TableFeatures(["site", "click"])
    >>> one = features.of_text(b"site,click\n", [b"news,1", b'"sport",0'], b",")
    >>> other = features.of_text(b"site;click\n", [b"news;1", b"sport;1"], b";")
    >>> differing(one, other)
    {1: None}
    """

    def __init__(self, names: Sequence[str], unread: Sequence[str] = ()) -> None:
        said = {name: "category" for name in names if name.lower() in LABELS}
        self._schema = Schema(said | {name: "ignore" for name in unread if "*" not in name}, "category")

    @classmethod
    def of_schema(cls, arrow_schema: Any) -> TableFeatures:
        """Return those of columns with types: such as are no features are not looked at.

        Parameters
        ----------
        arrow_schema
            A ``pyarrow.Schema``.
        """
        return cls(arrow_schema.names, [field.name for field in arrow_schema if not _is_feature(field)])

    def of_text(self, header: bytes, records: Sequence[bytes], delimiter: bytes) -> RowFeatures:
        """Read records of delimited text.

        Parameters
        ----------
        header
            The line that names the columns, with its end.
        records
            Without their ends.
        delimiter
            What stands between columns.
        """
        text = header + b"".join([record + b"\n" for record in records])
        options: dict[str, Any] = {"schema": self._schema, "boolean": (), "labels": False}
        reader = formats.reader("csv", delimiter=delimiter.decode(), **options)
        parsed = Parsed.concatenate([reader.feed(text), reader.finish()])
        return RowFeatures(parsed, line_numbers(header, records))

    def of_columns(self, table: Any) -> RowFeatures:
        """Read rows of columns.

        Parameters
        ----------
        table
            A ``pyarrow.Table``.
        """
        rows = ArrowRows(table.schema, schema=self._schema, labels=False, judged=True)
        parsed = Parsed.concatenate([part for batch in table.to_batches() for part in rows.read(batch)])
        return RowFeatures(parsed, np.arange(1, table.num_rows + 1))


class RowFeatures:
    """What each row of a table was read as.

    Parameters
    ----------
    parsed
        What was read.
    lines
        int64[n]: the number that each row has there.
    """

    def __init__(self, parsed: Parsed, lines: NDArray[np.int64]) -> None:
        self.batch: Batch = parsed.batch
        self.count = lines.size
        self.is_whole = len(self.batch) == self.count
        places = np.searchsorted(lines, parsed.lines)
        self._rows = dict(zip(places.tolist(), range(len(self.batch)), strict=True))
        self._reasons = {int(np.searchsorted(lines, line)): reason for line, reason in parsed.errors}

    def row(self, place: int) -> bytes | str:
        """Return a row's features; or why it is none.

        Parameters
        ----------
        place
            Its place, from 0.
        """
        found = self._rows.get(place)
        if found is None:
            return self._reasons.get(place, UNREAD)
        span = slice(self.batch.indptr[found], self.batch.indptr[found + 1])
        values = self.batch.explicit_values()[span]
        return self.batch.indices[span].tobytes() + values.tobytes()


def differing(one: RowFeatures, other: RowFeatures) -> dict[int, str | None]:
    """Return the rows that are other ones in another file; each with why it is no row in one, or None.

    Parameters
    ----------
    one, other
        The same rows, as two files have them.
    """
    first, second = one.batch, other.batch
    if one.is_whole and other.is_whole and len(first) == len(second):
        same = np.array_equal(first.indptr, second.indptr) and np.array_equal(first.indices, second.indices)
        if same and np.array_equal(first.explicit_values(), second.explicit_values()):
            return {}
    found: dict[int, str | None] = {}
    for place in range(one.count):
        ours, theirs = one.row(place), other.row(place)
        if ours != theirs:
            found[place] = next((reason for reason in (ours, theirs) if isinstance(reason, str)), None)
    return found


def _is_feature(field: Any) -> bool:
    try:
        meaning_of(listed(field.type) or field.type, field.name)
    except FormatError:
        return False
    return True
