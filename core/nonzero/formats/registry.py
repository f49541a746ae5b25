"""The formats there are, and the only place where one is registered."""

from __future__ import annotations

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """Where a format is found, and how it is known."""

    module: str
    """Imported, and its kernel with it, when the format is first used."""
    class_name: str
    """The :class:`~nonzero.formats.format.Format` in it."""
    endings: tuple[str, ...]
    """Endings of files' names that imply it."""
    media_type: str | None
    """The Content-Type of bodies over HTTP; None where they are not read there."""
    text: str = ""
    """What a line has, for the description of the HTTP API."""
    lines: str = ""
    """An example of two lines or more, all of them right: of an update, and of a prediction. A table has its
    header before them."""


FORMATS: Final = {
    "vw": Entry(
        "nonzero.formats.vw",
        "VowpalWabbit",
        (".vw",),
        "text/x-vw",
        "Vowpal Wabbit text: label, importance weight, id, features.",
        "1 2.0 | site=news bid:0.5\n-1 | site=sport\n",
    ),
    "libsvm": Entry(
        "nonzero.formats.libsvm",
        "Libsvm",
        (".svm", ".libsvm", ".svmlight"),
        "text/x-libsvm",
        "libsvm or SVMlight.",
        "1 3:0.5 17:1\n0 4:1\n",
    ),
    "ndjson": Entry(
        "nonzero.formats.ndjson",
        "NDJSON",
        (".ndjson", ".jsonl"),
        "application/x-ndjson",
        "An Example a line, as many as you like.",
        '{"features": {"site": "news", "bid": 0.5}, "label": 1}\n'
        '{"features": {"site": "sport"}, "label": 0}\n',
    ),
    "csv": Entry(
        "nonzero.formats.delimited",
        "Delimited",
        (".csv",),
        "text/csv",
        "A table: the names of its columns, then an example a row.",
        "click,site,bid\n1,news,0.5\n0,sport,1.5\n",
    ),
    "tsv": Entry(
        "nonzero.formats.click_logs",
        "TabSeparated",
        (".tsv", ".tab"),
        "text/tab-separated-values",
        "The same, with tabs between the columns.",
        "click\tsite\tbid\n1\tnews\t0.5\n0\tsport\t1.5\n",
    ),
    "criteo": Entry("nonzero.formats.click_logs", "Criteo", (), None),
    "avazu": Entry("nonzero.formats.click_logs", "Avazu", (), None),
}
"""By name."""

COLUMNAR: Final = {"parquet": (".parquet", ".pq"), "arrow": (".arrow", ".arrows", ".feather", ".ipc")}
"""Formats of files whose columns lie one after another, and the endings of names that imply them."""

DELIMITED: Final = ("csv", "tsv", "criteo", "avazu")
"""Formats that are delimited text."""

TABLES: Final = (*DELIMITED, *COLUMNAR)
"""Formats whose columns are fields."""
