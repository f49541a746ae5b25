"""The formats of well-known click logs, and delimited text whose columns tabs stand between."""

from __future__ import annotations

from typing import Final

from nonzero.formats.delimited import Delimited
from nonzero.formats.layouts import TableLayout

_COUNTS: Final = tuple(f"I{k}" for k in range(1, 14))
_CATEGORIES: Final = tuple(f"C{k}" for k in range(1, 27))


class TabSeparated(Delimited):
    """Delimited text with a header, its columns separated by tabs."""

    name = "tsv"
    layout = TableLayout(delimiter=b"\t")


class Criteo(Delimited):
    r"""The display ad log of Criteo: its Kaggle challenge, and the days of its terabyte log.

    A line has no header, and tabs between its cells: the label, 13 counts, 26 categories; an empty cell is
    missing. A test set has no label. A copy with a header (``Id,Label,I1,...,C26``) is read too.

    Examples
    --------
    >>> from nonzero import formats
    >>> line = b"0" + b"\t5" + b"\t" * 12 + b"\t68fd1e64" + b"\t" * 25 + b"\n"
    >>> batch = formats.parse(line, "criteo", boolean=())
    >>> same = formats.parse(b'{"features": {"I1_bucket": "4", "C1": "68fd1e64"}, "label": 0}', "ndjson")
    >>> batch.indices.tolist() == same.indices.tolist()
    True
    """

    name = "criteo"
    layout = TableLayout(
        columns=("label", *_COUNTS, *_CATEGORIES),
        delimiter=b"\t",
        buckets={name: f"{name}_bucket" for name in _COUNTS},
        ignored=frozenset({"Id", "id"}),
    )


class Avazu(Delimited):
    r"""The mobile ad log of Avazu's Kaggle challenge: comma-separated, with a header.

    The id of an impression is left out. Its hour (YYMMDDHH) becomes the hour of the day and the day of the
    week, and is the example's time.

    Examples
    --------
    >>> from nonzero import formats
    >>> batch = formats.parse(b"id,click,hour,C1\n7,0,14102113,1005\n", "avazu", boolean=())
    >>> same = formats.parse(
    ...     b'{"features": {"hour_of_day": "13", "day_of_week": "2", "C1": "1005"}, "label": 0}', "ndjson"
    ... )
    >>> batch.indices.tolist() == same.indices.tolist(), batch.times.tolist()
    (True, [1413896400000])
    """

    name = "avazu"
    layout = TableLayout(hours={"hour": ("hour_of_day", "day_of_week")}, ignored=frozenset({"id"}))
