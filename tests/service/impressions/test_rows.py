"""The bodies of rows of impressions are read as they were written, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nonzero_service.impressions.rows import HEADER, ImpressionRow, Teaching, decode_row, encode_row
from nonzero_service.journal.errors import BodyError
from service.impressions.journalled import JournalledImpressions
from service.impressions.test_store import RULES, batch, probabilities


@pytest.fixture
def kept(tmp_path: Path) -> JournalledImpressions:
    return JournalledImpressions(tmp_path / "model", RULES)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_body_of_a_row_is_read_as_it_was_written(kept: JournalledImpressions, rows: int) -> None:
    kept.keep(batch(rows), probabilities(rows), 5)
    body = next(iter(kept.journal.read())).body
    row = decode_row(body)
    assert encode_row(row) == body
    assert (row.first, row.rate, row.teaching, row.stops.size) == (0, 1.0, Teaching.LATER, rows)
    parts = [row.part(0, 1, Teaching.NOW), row.part(1, rows, Teaching.HELD)]
    assert [len(part.negatives()[0]) for part in parts] == [1, rows - 1]
    for bad in (b"", body[:-1], body[:-4], body + bytes(4), b"\xff" * HEADER.size + body[HEADER.size :]):
        with pytest.raises(BodyError):
            decode_row(bad)


def test_a_row_of_none_is_a_row() -> None:
    nothing = np.empty(0, np.int64)
    row = ImpressionRow(7, 0.5, Teaching.NOW, np.empty(0, np.uint32), nothing, np.empty(0, np.uint64))
    assert len(decode_row(encode_row(row)).negatives()[0]) == 0
