"""The fields that most of a row's impressions have are written once, and each has its own when it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.impressions import row_builder
from nonzero_service.impressions.packing import packed
from nonzero_service.impressions.rows import (
    HEADER,
    NO_FIELDS,
    ImpressionRow,
    Teaching,
    decode_row,
    encode_row,
)
from nonzero_service.impressions.unpacking import Part, unpacked
from nonzero_service.journal.errors import BodyError
from service.impressions.journalled import JournalledImpressions, impress, predicted
from service.impressions.test_store import RULES, same_rows

N = 100
FIELDS = np.array([7, 3, 9, 3, 1], np.uint16)


def batch(n: int, first: int, fields: np.ndarray = FIELDS) -> Batch:
    """Make rows of the same fields."""
    indices = np.random.default_rng([n, first]).integers(0, 2**31, n * fields.size)
    indptr = np.arange(n + 1) * fields.size
    names = [f"imp-{first + j}" for j in range(n)]
    return Batch(indptr, indices, None, None, None, np.tile(fields, n), names)


def answered(n: int) -> np.ndarray:
    return np.full(n, 0.25, np.float32)


@pytest.fixture
def kept(tmp_path: Path) -> JournalledImpressions:
    return JournalledImpressions(tmp_path / "model", RULES)


def check(kept: JournalledImpressions, given: list[Batch]) -> None:
    """Have one label each find the features of its prediction, before a restart and after it."""
    whole = Batch.concatenate(given)
    for half in range(2):
        rows = list(range(half, len(whole), 2))[::-1]
        joined = kept.label([f"imp-{row}" for row in rows], [1] * len(rows), 2)
        assert set(joined.verdicts) == {"joined"}
        same_rows(joined.batch, Batch.concatenate([whole.rows(row, row + 1) for row in rows]))
        kept.restart()


def test_they_are_written_once(kept: JournalledImpressions) -> None:
    given = [batch(N, 0), batch(3, N)]
    for one in given:
        kept.keep(one, answered(len(one)), 1)
    for row in kept.journal.read():
        assert decode_row(row.body).usual.tolist() == FIELDS.tolist()
        words = (len(row.body) - HEADER.size - 12) // 4
        assert words < (11 + FIELDS.size + 2) * decode_row(row.body).stops.size + 1
    check(kept, given)


def test_others_are_written_with_their_record(kept: JournalledImpressions) -> None:
    mixed = batch(N, 0)
    fields = mixed.fields
    assert fields is not None
    changed = fields.copy()
    changed[12] = 100
    object.__setattr__(mixed, "fields", changed)
    few, longer, none = (
        batch(3, N, FIELDS[:3]),
        batch(3, N + 3, np.arange(9, dtype=np.uint16)),
        batch(3, N + 6),
    )
    object.__setattr__(none, "fields", None)
    given = [mixed, few, longer, none]
    for one in given:
        kept.keep(one, answered(len(one)), 1)
    assert {tuple(decode_row(row.body).usual) for row in kept.journal.read()} == {tuple(FIELDS)}
    object.__setattr__(none, "fields", np.zeros(none.nnz, np.uint16))
    check(kept, given)


def test_many_of_other_fields_are_a_row_of_their_own(kept: JournalledImpressions) -> None:
    other = np.array([2, 2], np.uint16)
    given = [batch(N, 0), batch(N, N, other), batch(N, 2 * N, other)]
    kept.do(*[impress(one, answered(len(one)), 1) for one in given], now_ms=1)
    rows = [decode_row(row.body) for row in kept.journal.read()]
    assert [row.usual.tolist() for row in rows] == [FIELDS.tolist(), other.tolist()]
    assert [row.stops.size for row in rows] == [N, 2 * N]
    check(kept, given)


def test_very_many_fields_are_not_remembered(
    kept: JournalledImpressions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_builder, "MOST_FIELDS", FIELDS.size - 1)
    kept.keep(batch(N, 0), answered(N), 1)
    assert decode_row(next(iter(kept.journal.read())).body).usual.size == 0
    check(kept, [batch(N, 0)])


def test_a_body_of_version_1_is_read() -> None:
    given = batch(3, 0)
    stops = np.empty(3, np.int64)
    words = packed(predicted(given, answered(3), 1), stops, NO_FIELDS)
    row = decode_row(HEADER.pack(3, Teaching.NOW, 0, 0, 5, 1.0) + words.tobytes())
    assert (row.first, row.usual.size) == (5, 0)
    same_rows(row.negatives()[0], given)


def test_fields_that_are_not_there_are_told() -> None:
    row = ImpressionRow(
        0, 1.0, Teaching.LATER, np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.uint64), FIELDS
    )
    body = encode_row(row)
    assert decode_row(body).usual.tolist() == FIELDS.tolist()
    for bad in (body[:-4], body[:5] + b"\1" + body[6:]):
        with pytest.raises(BodyError):
            decode_row(bad)


def test_a_record_of_other_length_than_the_usual_fields_is_not_whole() -> None:
    stops = np.empty(3, np.int64)
    words = packed(predicted(batch(3, 0), answered(3), 1), stops, FIELDS)
    starts = np.concatenate([[0], stops[:-1]])
    assert unpacked([Part(words, starts, stops - starts, FIELDS)]).whole.all()
    assert not unpacked([Part(words, starts, stops - starts, FIELDS[:-1])]).whole.any()
