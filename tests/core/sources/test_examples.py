"""Rows that a table cannot use become errors, in line order; the others stay as they were."""

from operator import attrgetter

import numpy as np

from nonzero import formats
from nonzero.formats import Parsed
from nonzero.sources.examples import read_examples, usable


def parsed(data: bytes, format: str) -> Parsed:
    return next(read_examples([data], formats.reader(format)))


def test_nothing_changes_where_nothing_is_wrong() -> None:
    rows = parsed(b"1 |a x\n-1 |a y z\n", "vw")
    assert usable(rows, 1, labelled=True) is rows
    assert usable(rows, 1, labelled=False) is rows


def test_rows_without_a_label_are_predictable_and_not_learnable() -> None:
    rows = parsed(b"1 |a x:2\n|a y\nwrong |a z\n0 3.5 |b u v\n\n |c w\n", "vw")
    assert usable(rows, 8, labelled=False) is rows
    kept = usable(rows, 8, labelled=True)
    assert kept.lines.tolist() == [1, 4]
    assert [error.line for error in kept.errors] == [2, 3, 6]
    assert kept.skipped == (5,)
    assert "label" in kept.errors[0].reason
    assert kept.lines_read == 6
    assert kept.batch.labels.tolist() == [1, 0]
    assert kept.batch.weights.tolist() == [1, 3.5]
    assert kept.batch.indptr.tolist() == [0, 1, 3]
    expected = np.concatenate([rows.batch.rows(0, 1).indices, rows.batch.rows(2, 3).indices])
    assert kept.batch.indices.tolist() == expected.tolist()
    assert kept.batch.explicit_values().tolist() == [2, 1, 1]


def test_rows_outside_the_table_are_errors_that_name_its_size() -> None:
    rows = parsed(b"1 3:1 15:1\n0 16:2\n1 2:1\n", "libsvm")
    assert usable(rows, 5, labelled=False) is rows
    kept = usable(rows, 4, labelled=False)
    assert kept.lines.tolist() == [1, 3]
    assert [error.line for error in kept.errors] == [2]
    assert "2**4 = 16" in kept.errors[0].reason
    assert kept.batch.indices.tolist() == [3, 15, 2]


def test_a_stream_in_any_pieces_gives_the_same_rows() -> None:
    data = b"".join(b"%d |f a%d b%d\n" % (k % 2, k, k % 7) for k in range(1000)) + b"oops\n"
    whole = list(read_examples([data], formats.reader("vw")))
    pieces = list(read_examples([data[j : j + 37] for j in range(0, len(data), 37)], formats.reader("vw")))
    for parts in (whole, pieces):
        assert sum(part.lines_read for part in parts) == 1001
        assert [error.line for part in parts for error in part.errors] == [1001]
        assert np.concatenate([part.lines for part in parts]).tolist() == list(range(1, 1001))
    expected = np.concatenate([part.batch.indices for part in whole])
    assert (np.concatenate([part.batch.indices for part in pieces]) == expected).all()


def test_readers_that_take_turns_pass_over_a_mark_and_lines_without_an_example() -> None:
    """Only the stream's own start may be a byte order mark, whichever reader gets it."""
    mark = b"\xef\xbb\xbf"
    lines = [b"# a comment" if k % 7 == 0 else b"" if k % 11 == 0 else b"1 %d:1" % k for k in range(2000)]
    lines[300] = mark + b"1 3:1"
    data = mark + b"\n".join(lines)
    wanted = [k + 1 for k, line in enumerate(lines) if line.startswith(b"1")]
    for size in (1, 64, 1000):
        blocks = [data[j : j + size] for j in range(0, len(data), size)]
        found = list(read_examples(blocks, formats.reader("libsvm")))
        assert np.concatenate([part.lines for part in found]).tolist() == wanted
        assert [error.line for part in found for error in part.errors] == [301]
        skipped = [line for part in found for line in part.skipped]
        assert sorted([*skipped, 301, *wanted]) == list(range(1, 2001))


def test_readers_that_take_turns_count_lines_as_one() -> None:
    """Errors of each kind in every part, a line longer than a block, and a last line without its end."""
    line = {"vw": b"1 |f a%d", "libsvm": b"1 %d:1", "ndjson": b'{"label":1,"indices":[%d]}'}
    for form, plain in line.items():
        lines = [b"x" * 150 if k % 31 == 0 else b"oops" if k % 17 == 0 else plain % k for k in range(2000)]
        data = b"\r\n".join(lines)
        one = formats.reader(form, max_line=100)
        expected = [one.feed(data), one.finish()]
        for size in (64, 1000):
            blocks = [data[j : j + size] for j in range(0, len(data), size)]
            found = list(read_examples(blocks, formats.reader(form, max_line=100)))
            for parts in (found, expected):
                assert sum(part.lines_read for part in parts) == 2000
            assert [e for part in found for e in part.errors] == [e for part in expected for e in part.errors]
            for name in ("lines", "batch.indices", "batch.labels"):
                there, wanted = (
                    np.concatenate([attrgetter(name)(part) for part in parts]) for parts in (found, expected)
                )
                assert (there == wanted).all(), name


def test_blocks_are_parsed_where_they_are_whatever_their_end() -> None:
    """A block may end with a line, within one, or a few bytes behind one."""
    lines = [b"%d |site s%d |ad a%d b:0.5" % (k % 2, k % 97, k) for k in range(9000)]
    lines[4000:4003] = [b"", b"wrong", b"1 'tag| a"]
    data = b"\n".join(lines) + b"\n"
    blocks: list[bytes] = []
    while data:
        cut = min(data.find(b"\n", min(70_000 + len(blocks), len(data) - 1)) + 1, len(data))
        cut = min(cut + (0, 1, 30, 63, 64, 65)[len(blocks) % 6], len(data))
        blocks.append(data[:cut])
        data = data[cut:]
    found = list(read_examples(blocks, formats.reader("vw")))
    expected = formats.reader("vw").feed(b"\n".join(lines) + b"\n")
    assert np.concatenate([part.batch.indices for part in found]).tolist() == expected.batch.indices.tolist()
    assert np.concatenate([part.lines for part in found]).tolist() == expected.lines.tolist()
    assert [error for part in found for error in part.errors] == list(expected.errors)
    assert [line for part in found for line in part.skipped] == list(expected.skipped)
    assert sum(part.lines_read for part in found) == 9000


def test_the_kind_that_a_field_comes_in_first_is_that_of_the_line_that_stands_first() -> None:
    """The first part says it near its end, and takes far longer to read than the second."""
    hours = b'{"features": {"hour": "9"}, "label": 1}\n'
    ages = [b'{"features": {"age": %s}, "label": 1}\n' % age for age in (b"31", b'"31"', b'"x"')]
    for _ in range(5):
        parts = read_examples(
            [hours * 20_000 + ages[0] + hours * 10, ages[1] + ages[2]], formats.reader("ndjson")
        )
        assert [part.conflicts for part in parts] == [{}, {"age": 2}]
