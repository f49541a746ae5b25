from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from core.formats.plainly import assert_same, whole
from nonzero import Batch, formats
from nonzero.errors import FormatError, SettingsError
from nonzero.formats import Parsed, Reader
from nonzero.formats.reading import PADDING
from nonzero.formats.row_arrays import RowArrays
from nonzero.formats.vw import VowpalWabbit

TEXT = "1 2 'x|a f:3 |b g\r\n\n-1 | s=t u:1e-30\nwrong\n'ý| é:0.123456789012345678\r\n| last".encode()


def test_chunks_that_end_anywhere_give_the_same_rows() -> None:
    expected = whole(formats.reader("vw"), TEXT)
    assert expected.lines.tolist() == [1, 3, 5, 6]
    assert [error.line for error in expected.errors] == [4]
    assert expected.skipped == (2,)
    assert expected.lines_read == 6
    for cut in range(len(TEXT) + 1):
        assert_same(whole(formats.reader("vw"), TEXT[:cut], TEXT[cut:]), expected)
    assert_same(whole(formats.reader("vw"), *(TEXT[j : j + 1] for j in range(len(TEXT)))), expected)


MARK = b"\xef\xbb\xbf"
STREAMS = [
    ("vw", b"1 | a\n-1 | b\n"),
    ("libsvm", b"1 3:1\n-1 4:1\n"),
    ("ndjson", b'{"indices":[3],"label":1}\n{"indices":[4],"label":0}\n'),
    ("csv", b"click,site\n1,a\n0,b\n"),
]


@pytest.mark.parametrize(("name", "text"), STREAMS)
def test_a_byte_order_mark_at_the_start_is_passed_over_in_any_chunks(name: str, text: bytes) -> None:
    expected = whole(formats.reader(name), text)
    assert not expected.errors
    assert len(expected.batch) == 2
    marked = MARK + text
    for cut in range(len(marked) + 1):
        assert_same(whole(formats.reader(name), marked[:cut], marked[cut:]), expected)
    assert_same(whole(formats.reader(name), *(marked[j : j + 1] for j in range(len(marked)))), expected)
    assert whole(formats.reader(name), MARK).lines_read == 0


@pytest.mark.parametrize(("name", "text"), STREAMS[1:3])
def test_a_byte_order_mark_is_passed_over_at_the_start_only(name: str, text: bytes) -> None:
    first, second = text.splitlines(keepends=True)
    for before in (MARK + MARK + first, first + MARK):
        parsed = whole(formats.reader(name), before + second)
        assert len(parsed.errors) == 1
        assert len(parsed.batch) == 1
    for part in (MARK[:1], MARK[:2]):
        assert [error.line for error in whole(formats.reader(name), part).errors] == [1]


def test_several_chunks_at_once_are_read_as_one() -> None:
    text = TEXT + b"\n" + b"1 | site=news\n-1 | site=blog\n" * 100_000  # more than is parsed at once
    expected = whole(formats.reader("vw"), text)
    for size in (997, 300_000):
        reader = formats.reader("vw")
        parsed = reader.feed(*(text[j : j + size] for j in range(0, len(text), size)))
        assert reader.finish().lines_read == 0
        assert_same(parsed, expected)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vw", TEXT),
        ("libsvm", b"1 3:1 70:2.5\n-1\n0 9:1\n"),
        ("ndjson", b'{"features":{"a":"b"}}\n{"indices":[5,2000000000]}\n{"indices":[7]}\n'),
        ("ndjson", b'{"features":{"a":"b"},"indices":[12]}\n'),
        ("ndjson", b'{"features":{}}\n'),
    ],
)
def test_the_largest_slot_is_that_of_the_arrays(name: str, text: bytes) -> None:
    batch = whole(formats.reader(name), text).batch
    same = Batch(batch.indptr, batch.indices, batch.values, batch.labels, fields=batch.fields)
    assert batch.largest_slot == same.largest_slot


def test_line_numbers_run_on_over_feeds() -> None:
    reader = formats.reader("vw")
    assert reader.feed(b"1 | a\n2 | b\n").lines.tolist() == [1]
    parsed = reader.feed(b"\n1 | c\n")
    assert parsed.lines.tolist() == [4]
    assert parsed.skipped == (3,)


def test_anything_with_bytes_is_read() -> None:
    text = b"1 | a\n"
    for data in (text, bytearray(text), memoryview(text), np.frombuffer(text, np.uint8)):
        assert len(formats.parse(data, "vw")) == 1


def test_empty_stream_has_no_rows() -> None:
    assert len(formats.parse(b"", "vw")) == 0
    assert whole(formats.reader("vw"), b"", b"").lines_read == 0


@pytest.mark.parametrize("chunk", [1, 7, 64, 10_000])
def test_line_longer_than_allowed_is_an_error_and_passed_over(chunk: int) -> None:
    text = b"1 | a\n1 | " + b"x" * 200 + b"\n1 | b\r\n1 | " + b"y" * 16 + b"\n1 | " + b"z" * 17
    chunks = [text[j : j + chunk] for j in range(0, len(text), chunk)]
    parsed = whole(formats.reader("vw", max_line=20), *chunks)
    assert parsed.lines.tolist() == [1, 3, 4]
    assert [error.line for error in parsed.errors] == [2, 5]
    assert "longer than 20 bytes" in parsed.errors[0].reason
    assert parsed.lines_read == 5


def test_endless_line_takes_no_memory() -> None:
    reader = formats.reader("vw", max_line=2**20)
    chunk = b"x" * 2**16
    reader.feed(b"x" * 2**20)  # all the room that it will ever need
    tracemalloc.start()
    for _ in range(2000):
        reader.feed(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25
    assert reader.feed(b"\n1 | a\n").lines.tolist() == [2]


def test_line_much_longer_than_a_piece() -> None:
    text = b"1 | " + b" ".join(b"f%d" % i for i in range(500_000)) + b"\n-1 | a\n"
    batch = whole(formats.reader("vw"), *(text[j : j + 100_000] for j in range(0, len(text), 100_000))).batch
    assert np.diff(batch.indptr).tolist() == [500_000, 1]


def test_a_line_over_the_end_of_a_piece_is_one_line() -> None:
    """It fills the end of one piece and ends in the next: where pieces are read in place, it is not."""
    short = b"1 | a:0.5\n"
    long = b"1 | " + b" ".join(b"x%d:0.5" % k for k in range(100_000)) + b"\n"
    assert len(long) > 2**20
    for chunks in ([short, long + short], [short + long + short], [short, short + long[:-9], long[-9:]]):
        found = whole(formats.reader("vw"), *chunks)
        assert not found.errors
        shorts = b"".join(chunks).count(short)
        assert (found.lines_read, found.batch.nnz) == (shorts + 1, shorts + 100_000)
        assert np.diff(found.batch.indptr).max() == 100_000


def test_reader_is_finished_once() -> None:
    reader = formats.reader("vw")
    reader.finish()
    with pytest.raises(ValueError, match="finished"):
        reader.feed(b"1 | a\n")


def test_unknown_formats_and_options_are_refused() -> None:
    with pytest.raises(SettingsError, match=f"'xml' is unknown; give one of {', '.join(formats.NAMES)}"):
        formats.reader("xml")
    with pytest.raises(SettingsError, match="no option 'label'; it takes schema, namespace_separator"):
        formats.parse(b"", "vw", label="click")
    with pytest.raises(SettingsError, match="'-'"):
        formats.reader("vw", namespace_separator="-")


def test_error_names_the_first_lines_and_keeps_all() -> None:
    with pytest.raises(FormatError, match="and 15 more") as caught:
        formats.parse(b"x\n" * 20, "vw")
    assert [error.line for error in caught.value.lines] == list(range(1, 21))


class Seen(VowpalWabbit):
    """Notes which bytes were parsed where the caller has them: bytes that nobody may write to."""

    def __init__(self) -> None:
        super().__init__()
        self.there = 0

    def read(self, data: NDArray[np.uint8], end: int, rows: RowArrays) -> int:
        self.there += 0 if data.flags.writeable else end
        return super().read(data, end, rows)


LINES = b"".join(b"%d |site s%d |ad a%d b:0.5\n" % (k % 2, k % 97, k) for k in range(12_000))
ODD = b"1 'tag-1| a\n\nwrong\n'\xc3\xbd| b\r\n0 2 't| a:0 c:1e-3\n"
BLOCKS = {
    "usual": LINES,
    "tags, errors and blank lines": ODD + LINES[:150_000] + b"\n" + ODD * 30 + LINES[-150_000:],
    "short lines": b"\n" * 300 + b"1 |\n" * 90_000,
    "an end without a newline": LINES + b"1 | last",
}


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("chunk", [70_001, 200_000, 1 << 20])
def test_long_chunks_are_parsed_where_they_are(kind: str, chunk: int) -> None:
    text = b"1 | first\n" + BLOCKS[kind]
    expected = whole(formats.reader("vw"), *(text[j : j + 5000] for j in range(0, len(text), 5000)))
    form = Seen()
    reader = Reader(form)
    assert_same(
        whole(reader, text[:10], *(text[j : j + chunk] for j in range(10, len(text), chunk))), expected
    )
    assert form.there > len(text) // 2


def test_what_is_behind_a_chunk_may_be_read() -> None:
    text = b"1 | first\n" + LINES
    form = Seen()
    reader = Reader(form)
    parts = [reader.feed(text[:10])]
    end = text.rindex(b"\n", 0, len(text) - PADDING) + 1
    parts.append(reader.feed(memoryview(text)[10:end], behind=len(text) - end))
    assert form.there == end - 10
    parts += [reader.feed(text[end:]), reader.finish()]
    assert_same(Parsed.concatenate(parts), whole(formats.reader("vw"), text))


def test_a_line_that_is_too_long_is_told_where_it_is() -> None:
    text = b"1 | first\n" + LINES[:80_000] + b"1 | " + b"x" * 400 + b"\n" + LINES[:80_000] + b"\n"
    expected = whole(
        formats.reader("vw", max_line=300), *(text[j : j + 999] for j in range(0, len(text), 999))
    )
    assert len(expected.errors) == 1 + text.count(b"wrong")
    for chunk in (70_000, 1 << 20):
        reader = formats.reader("vw", max_line=300)
        pieces = (text[j : j + chunk] for j in range(10, len(text), chunk))
        assert_same(whole(reader, text[:10], *pieces), expected)
