"""What messages hold, and which message each row and each refusal is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonzero import Batch, Schema, formats
from nonzero_service.kafka.records import Chunk
from nonzero_service.kafka.values import Values
from nonzero_service.streams.message_readers import ReadPiece, found_in, reader_of
from nonzero_service.streams.pieces import cut, halves

NO_SCHEMA = Schema.of(None)
ONE = b'{"features": {"site": "news"}, "label": 1}'
TWO = b'{"examples": [{"features": {"site": "a"}, "label": 0}, {"features": {}, "label": 1}]}'


def chunk(values: Sequence[bytes | None], first: int = 10, partition: int = 0, gap: int = 1) -> Chunk:
    """Return messages of which each has an offset `gap` behind the one before."""
    offsets = first + gap * np.arange(len(values), dtype=np.int64)
    return Chunk("t", "id", partition, first, first + gap * len(values), 3, offsets, offsets, Values(values))


def read(format: str, *chunks: Chunk, most: int = 1 << 20, max_line: int = 1 << 20) -> Iterator[ReadPiece]:
    reader = reader_of(format, NO_SCHEMA, max_line)
    for piece in cut(chunks, most):
        yield found_in(piece, reader.whole(reader.read(piece)), reader)


def test_a_message_holds_one_line_or_more_and_its_last_may_lack_its_end() -> None:
    values = [b"1 |a", b"0 |b\n", b"1 |c\r\n", b"0 |d\n1 |e", b"0 |f\n1 |g\n"]
    [found] = read("vw", chunk(values))
    assert found.batch.labels.tolist() == [1, 0, 1, 0, 1, 0, 1]
    assert (found.examples, found.refused, found.refusals) == ([7], [0], ())


def test_refusals_name_partition_offset_and_line() -> None:
    chunks = [
        chunk([b"1 |a", None, b"0 |b\nx\n1 |c", b"y\n"], gap=3),
        chunk([], partition=1),
        chunk([None], partition=2),
        chunk([b"1 |d", b"z\nz"], first=0, partition=3),
    ]
    [found] = read("vw", *chunks)
    assert (found.examples, found.refused) == ([3, 0, 0, 1], [2, 0, 0, 1])
    places = [(one.topic, one.partition, one.offset, one.line) for one in found.refusals]
    assert places == [("t", 0, 16, 2), ("t", 0, 19, 1), ("t", 3, 1, 1), ("t", 3, 1, 2)]
    assert "no '|'" in found.refusals[0].reason


@pytest.mark.parametrize(
    ("format", "refused"), [("ndjson", [1, 2, 3]), ("libsvm", [3]), ("vw", [3]), ("json", [1, 2, 3])]
)
def test_a_message_that_holds_nothing(format: str, refused: list[int]) -> None:
    line = {"ndjson": ONE, "json": ONE, "libsvm": b"1 3:1", "vw": b"1 |a"}[format]
    [found] = read(format, chunk([line, b"", b"\n", b"\xff", line], first=0))
    assert found.examples == [2]
    assert [one.offset for one in found.refusals] == refused


def test_a_line_that_is_too_long_is_refused_and_the_rest_goes_on() -> None:
    long = b"1 |a " + b"x" * 3000
    [found] = read("vw", chunk([b"1 |b", long, b"0 |c"], first=0), max_line=1000)
    assert (found.examples, [one.offset for one in found.refusals]) == ([2], [1])


def test_a_byte_order_mark_is_a_part_of_its_message_wherever_that_stands() -> None:
    marked = b"\xef\xbb\xbf" + ONE
    found = [*read("ndjson", chunk([marked]), chunk([marked], partition=1), most=1)]
    assert [one.refused for one in found] == [[1], [1]]


def test_a_message_of_json_is_an_example_or_a_list_right_as_a_whole_or_refused() -> None:
    bad = TWO.replace(b'"label": 1', b'"label": 7')
    spaced = ONE.replace(b" ", b"\n")
    [found] = read("json", chunk([ONE, TWO, None, bad, b"nonsense", spaced, TWO, ONE], first=0))
    assert found.batch.labels.tolist() == [1, 0, 1, 1, 0, 1, 1]
    assert (found.examples, found.refused) == ([7], [2])
    assert [(one.offset, one.line) for one in found.refusals] == [(3, 1), (4, 1)]
    assert found.refusals[0].reason.startswith("example 2: the label is 7")


def test_halves_are_the_whole() -> None:
    whole = chunk([b"a", b"b", None, b"c", b"d"], first=7, gap=2)
    first, second = halves(whole)
    assert (first.first, first.next, second.first, second.next) == (7, 11, 11, 17)
    assert [*first.values, *second.values] == [*whole.values]
    assert [*first.offsets, *second.offsets] == [*whole.offsets]


def test_what_is_cut_is_not_copied() -> None:
    """A step of megabytes would hold up others: a piece has the memory of what it was cut from."""
    whole = chunk([b"1 |a", None] * 4096)
    memory = np.frombuffer(whole.values.lines, np.uint8)
    found = [*cut([whole, chunk([b"0 |b\n"] * 100, partition=1)], 1000)]
    assert max(sum(lines.size for lines in piece) for piece in found) <= 1000
    parts = [lines.data for piece in found for lines in piece if lines.chunk.partition == 0]
    assert b"".join(parts) == b"1 |a\n" * 4096
    assert all(np.shares_memory(memory, np.frombuffer(part, np.uint8)) for part in parts)


LINE = st.sampled_from([b"1 |a b", b"0 |c:2", b"-1 |d", b"bad", b"1 |e f g"])
MESSAGE = (
    st.none() | st.lists(LINE, min_size=1, max_size=4).map(b"\n".join) | LINE.map(lambda line: line + b"\n")
)


@given(st.lists(st.lists(MESSAGE, max_size=8), max_size=5), st.integers(1, 40))
def test_any_pieces_give_the_same_rows(of_chunks: list[list[bytes | None]], most: int) -> None:
    chunks = [chunk(values, partition=place) for place, values in enumerate(of_chunks)]
    found = [*read("vw", *chunks, most=most)]
    lines = [line for values in of_chunks for value in values if value for line in value.splitlines()]
    expected = formats.parse(b"\n".join(line for line in lines if line != b"bad"), "vw")
    batch = Batch.concatenate([one.batch for one in found if len(one.batch)])
    assert batch.labels.tolist() == expected.labels.tolist()
    assert batch.indices.tolist() == expected.indices.tolist()
    assert sum(sum(one.examples) for one in found) == len(expected)
    assert sum(len(one.refusals) for one in found) == lines.count(b"bad")
    assert sum(sum(one.refused) for one in found) == sum(
        value is not None and b"bad" in value for values in of_chunks for value in values
    )
