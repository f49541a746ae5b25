"""What a stream is given as is cut into lines of a bounded length, whatever the format is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nonzero_client import InputError, sources
from nonzero_client.sources import MEDIA_TYPES, Lines, format_of


def test_a_line_without_an_end_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LINE_BYTES", 100)
    lines = Lines()
    for _ in range(3):
        assert lines.feed(b"x" * 30) == []
    with pytest.raises(InputError, match="a line has more than 100 bytes"):
        lines.feed(b"x" * 30)


@pytest.mark.parametrize(
    ("source", "given", "format"),
    [
        ("log.ndjson", None, "ndjson"),
        (Path("log.vw.gz"), None, "vw"),
        ("log", "csv", "csv"),
        ("log.feather", None, "arrow"),
        (b"1 |a", "vw", "vw"),
        ([{"features": {}}], None, None),
    ],
)
def test_a_format_is_told_from_a_name_or_said(source: Any, given: str | None, format: str | None) -> None:
    assert format_of(source, given) == format


@pytest.mark.parametrize(
    ("source", "given", "said"),
    [
        ("log.vw.zst", None, "`zstd -dc`"),
        ("log.txt", None, "cannot be told from its name"),
        ("log.vw", "vv", "the format is 'vv'; it is one of " + ", ".join(MEDIA_TYPES)),
        (b"1 |a", None, "bytes need a format; say format=ndjson or vw or libsvm or csv or tsv$"),
        (b"PAR1", "parquet", "parquet is read from a file"),
    ],
)
def test_a_format_that_cannot_be_told_is_asked_for(source: Any, given: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        format_of(source, given)
