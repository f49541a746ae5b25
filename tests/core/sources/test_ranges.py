"""Ranges of a file's lines read, together, what one reader reads of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nonzero import Batch, formats
from nonzero.batches.codec import encode_batch
from nonzero.formats import Parsed, Reader
from nonzero.sources import ranges
from nonzero.sources.files import Source
from nonzero.sources.ranges import LineRange
from object_store import ObjectStore

VW = b"".join(b"%d |site s%d\n" % (k % 2, k % 7) for k in range(60)) + b"no label here\n\n1 |site last"
CSV = b"click,said\n" + b"".join(
    b'%d,"%s"\n' % (k % 2, b'so,\n""1,x""\n\n' * (k % 5)) if k % 3 else b"%d,plain\n" % (k % 2)
    for k in range(60)
)


HEADER = b"click,said\n"


def in_ranges(path: Path, form: str, size: int, header: bytes = b"") -> tuple[list[Parsed], int]:
    """Read a file by ranges; return what they read, and how many of them were read again."""
    source, end, parts, again = Source(path), 0, list[Parsed](), 0
    for first in range(0, path.stat().st_size, size):
        lines = LineRange(source, first, first + size)
        found = read(lines, form, header if first else b"")
        if lines.start not in (None, end):
            again += 1
            lines = LineRange(source, end, first + size, exact=True)
            found = read(lines, form, header)
        assert lines.start in (None, end)
        end = end if lines.end is None else lines.end
        parts += found
    assert end == path.stat().st_size
    return parts, again


def new_reader(form: str) -> Reader:
    return formats.reader(form, boolean=()) if form == "csv" else formats.reader(form)


def read(lines: LineRange, form: str, header: bytes) -> list[Parsed]:
    reader = new_reader(form)
    if header:
        reader.feed(header)
    return [*lines.read(reader)]


def check_same(parts: list[Parsed], data: bytes, form: str) -> None:
    """Hold what ranges read against what one reader reads."""
    reader = new_reader(form)
    whole = [reader.feed(data), reader.finish()]
    assert body(parts) == body(whole)
    assert sum(one.lines_read for one in parts) == sum(one.lines_read for one in whole)
    assert [error.reason for one in parts for error in one.errors] == [
        error.reason for one in whole for error in one.errors
    ]


def body(parts: list[Parsed]) -> bytes:
    return encode_batch(Batch.concatenate([one.batch for one in parts if len(one.batch)]))


@pytest.mark.parametrize("size", [1, 7, 50, 64, 1000, 10_000])
def test_lines_that_stand_for_themselves(tmp_path: Path, size: int) -> None:
    path = tmp_path / "log.vw"
    path.write_bytes(VW)
    parts, again = in_ranges(path, "vw", size)
    check_same(parts, VW, "vw")
    assert not again


@pytest.mark.parametrize("size", [13, 64, 100, 1000, 10_000])
def test_records_whose_quotes_have_line_ends(tmp_path: Path, size: int) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(CSV)
    parts, again = in_ranges(path, "csv", size, HEADER)
    check_same(parts, CSV, "csv")
    assert (again > 0) == (size < 10_000)


def test_a_line_longer_than_ranges_are(tmp_path: Path) -> None:
    path = tmp_path / "log.vw"
    data = b"1 |site a\n" + b"0 |site " + b"b" * 500 + b"\n1 |site c\n"
    path.write_bytes(data)
    parts, again = in_ranges(path, "vw", 32)
    check_same(parts, data, "vw")
    assert not again


def test_a_file_of_a_store_is_read_alike(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_ASKED", 100)
    monkeypatch.setattr(ranges, "_BEYOND", 10)
    source, parts = Source(object_store.put("log.vw", VW)), list[Parsed]()
    for first in range(0, len(VW), 333):
        parts += read(LineRange(source, first, min(first + 333, len(VW))), "vw", b"")
    check_same(parts, VW, "vw")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("stored", [False, True], ids=["here", "in a store"])
def test_a_range_is_handed_over_alike_whether_its_beginning_was_known_or_found(
    tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """Who goes on within a range counts what was handed over of it, and knows by then where it begins."""
    for name in ("_BLOCK", "_ASKED"):
        monkeypatch.setattr(ranges, name, 50)
    path = tmp_path / "log.vw"
    path.write_bytes(VW)
    source = Source(object_store.put("log.vw", VW) if stored else path)
    several = 0
    for first in range(1, len(VW) - 1, 37):
        last = min(first + 333, len(VW))
        found = LineRange(source, first, last)
        parts = [(part.lines_read, body([part])) for part in read(found, "vw", b"") if len(part.batch)]
        assert found.start is not None
        known = LineRange(source, found.start, last, exact=True)
        assert [
            (part.lines_read, body([part])) for part in read(known, "vw", b"") if len(part.batch)
        ] == parts
        several += len(parts) > 2
    assert several > 10
