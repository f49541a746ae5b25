"""Rows with the names of their features, of text that comes in large blocks."""

from __future__ import annotations

from typing import Any

import pytest

from nonzero import formats
from nonzero.formats.named_rows import read_named

LINES = {
    "vw": b"1 |site news\n",
    "ndjson": b'{"features": {"site": "news"}, "label": 1}\n',
    "csv": b"1,news\n",
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("form", LINES)
def test_large_blocks_of_bytes_keep_their_names(form: str) -> None:
    """A reader may parse such a block where it lies; nobody may write there."""
    blocks = [LINES[form] * 5_000 for _ in range(3)]
    header = [b"click,site\n"] if form == "csv" else []
    options: dict[str, Any] = {"label": "click"} if form == "csv" else {}
    rows = [
        row for part in read_named([*header, *blocks], formats.reader(form, **options)) for row in part.rows
    ]
    assert len(rows) == 15_000
    assert {names for row in rows for names in row.names.values()} == {(b"site=news", b"site")}
