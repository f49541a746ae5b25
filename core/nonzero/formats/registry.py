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


FORMATS: Final = {
    "vw": Entry("nonzero.formats.vw", "VowpalWabbit", (".vw",), "text/x-vw"),
    "libsvm": Entry("nonzero.formats.libsvm", "Libsvm", (".svm", ".libsvm", ".svmlight"), "text/x-libsvm"),
    "ndjson": Entry("nonzero.formats.ndjson", "NDJSON", (".ndjson", ".jsonl"), "application/x-ndjson"),
    "csv": Entry("nonzero.formats.delimited", "Delimited", (".csv",), None),
}
"""By name."""
