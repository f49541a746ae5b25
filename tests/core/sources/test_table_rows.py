"""Rows of delimited text as they were written, whatever the blocks that a file is read in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonzero.errors import FormatError
from nonzero.formats.delimited_text import split_cells
from nonzero.sources.files import Source
from nonzero.sources.table_features import TableFeatures, differing
from nonzero.sources.table_rows import ROW, TextTable, record_of

CELLS = st.text(st.sampled_from('a1é ",;|\t\r\n'), max_size=5).map(str.encode)


@given(st.lists(CELLS, min_size=1, max_size=4), st.sampled_from([b",", b";", b"\t", b"|"]))
def test_a_record_has_the_cells_that_it_was_made_of(cells: list[bytes], delimiter: bytes) -> None:
    record = record_of(cells, delimiter)
    assert record.strip()
    assert split_cells(record, delimiter) == cells


@pytest.mark.parametrize("block", [64, 65, 70, 1 << 20])
def test_records_are_the_same_in_blocks_of_any_size(tmp_path: Path, block: int) -> None:
    records = [b"%d,news" % k if k % 3 else b'%d,"two\n""lines""\n"' % k for k in range(40)]
    file = tmp_path / "log.csv"
    file.write_bytes(b"\xef\xbb\xbf\nid,site\r\n" + b"\n".join([*records, b"7", b"", b"x,y\r"]))
    table = TextTable(Source(file, block))
    assert (table.names, table.header) == (["id", "site"], b"id,site")
    parts = [*table.read()]
    assert [row for part in parts for row in part.table[ROW].to_pylist()] == [*records, b"x,y"]
    lines = [line for part in parts for line in part.lines]
    assert (lines[0], lines[-1]) == (3, 3 + sum(one.count(b"\n") + 1 for one in records) + 2)
    reasons = [error.reason for part in parts for error in part.errors]
    assert reasons == ["the line has 1 cells, the header 2", "the line is empty"]


def test_text_without_a_header_is_named_and_an_empty_one_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"1\tnews\n")
    table = TextTable(Source(tmp_path / "log"), "tsv", columns=["id", "a\tb"])
    assert (table.names, table.header) == (["id", "a\tb"], b'id\t"a\tb"')
    assert [part.table[ROW].to_pylist() for part in table.read()] == [[b"1\tnews"]]
    (tmp_path / "log").write_bytes(b"\n")
    with pytest.raises(FormatError, match="log is empty: there is no header"):
        TextTable(Source(tmp_path / "log"))


def test_rows_that_mean_something_else_are_found() -> None:
    features = TableFeatures(["click", "site"])
    one = features.of_text(b"click,site\n", [b"1,news", b'0,"a\nb"', b"0,", b"0", b"1,x"], b",")
    other = features.of_text(b"click;site\n", [b"1;news", b"0;a b", b"0;", b"0", b"0;x"], b";")
    assert differing(one, one) == {}
    assert differing(one, other) == {1: None, 4: None}
    short = features.of_text(b"click;site\n", [b"1;news", b'0;"a\nb"', b"0;", b"0;1", b"1;x"], b";")
    assert differing(one, short) == {3: "the line has 1 cells, the header 2"}
