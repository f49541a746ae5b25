from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.formats.plainly import assert_same, whole
from nonzero import Batch, formats
from nonzero.errors import FormatError, SettingsError
from nonzero.fields.schema import Schema
from nonzero.formats.delimited_parts import Parts

ROWS = b"1,news,0.5\n0,sport,2\n"
NAMES = ("click", "site", "bid")


def indices(*rows: dict[str, str]) -> list[int]:
    found: list[int] = Batch.from_dicts(list(rows)).indices.tolist()
    return found


def test_columns_are_named_in_their_order() -> None:
    batch = formats.parse(ROWS, "csv", columns=NAMES, boolean=())
    expected = formats.parse(b"click,site,bid\n" + ROWS, "csv", boolean=())
    np.testing.assert_array_equal(batch.labels, [1, 0])
    assert batch.indices.tolist() == expected.indices.tolist()


def test_columns_without_names_are_numbered() -> None:
    batch = formats.parse(ROWS, "csv", columns=(), label="c1", boolean=())
    assert batch.indices.tolist() == indices({"c2": "news", "c3": "0.5"}, {"c2": "sport", "c3": "2"})


def test_a_test_set_lacks_the_label_alone() -> None:
    text = b"news,0.5\nsport,2\n"
    for label in (None, "click"):
        batch = formats.parse(text, "csv", columns=NAMES, label=label, boolean=())
        assert np.isnan(batch.labels).all()
        assert (
            batch.indices.tolist() == formats.parse(ROWS, "csv", columns=NAMES, boolean=()).indices.tolist()
        )
    with pytest.raises(
        FormatError, match=r"the first line has 1 cells, and 3 columns are named.*--delimiter"
    ):
        formats.parse(b"news:0.5\n", "csv", columns=NAMES)
    with pytest.raises(FormatError, match="the first line has 2 cells, and 3 columns are named"):
        formats.parse(text, "csv", columns=("a", "b", "c"))


def test_a_first_line_that_is_an_example_is_taken_for_no_header() -> None:
    with pytest.raises(
        FormatError, match=r"'0' twice; rename one; or the first line is an example.*--columns"
    ):
        formats.parse(b"1,0,0,news\n", "csv")
    with pytest.raises(FormatError, match=r"'a' twice; rename one$"):
        formats.parse(b"click,a,a\n1,x,y\n", "csv")


def test_any_chunking_of_text_without_a_header_gives_the_same_rows() -> None:
    text = b'\xef\xbb\xbf\n1,news,"a\nb"\n\n0,sport,x,y\n1,,z'
    expected = whole(formats.reader("csv", columns=NAMES, boolean=()), text)
    assert [error.line for error in expected.errors] == [4, 5]
    assert expected.lines.tolist() == [2, 6]
    for cut in range(len(text) + 1):
        assert_same(whole(formats.reader("csv", columns=NAMES, boolean=()), text[:cut], text[cut:]), expected)


def test_a_first_record_over_two_lines_is_read() -> None:
    batch = formats.parse(b'1,"a\nb",2\n0,c,3\n', "csv", columns=NAMES, boolean=())
    assert batch.indices.tolist()[0] == indices({"site": "a\nb"})[0]


def test_many_rows_without_a_header_are_judged_as_with_one() -> None:
    rows = b"".join(b"%d,%d,s%d\n" % (k % 2, k + 7, k % 5) for k in range(3000))
    names = ("click", "number", "site")
    reader, other = formats.reader("csv", columns=names), formats.reader("csv")
    assert_same_rows(whole(reader, rows), whole(other, b"click,number,site\n" + rows))
    assert any("'number' is left out" in note for note in reader.format.notes)


def assert_same_rows(ours: formats.Parsed, theirs: formats.Parsed) -> None:
    np.testing.assert_array_equal(ours.batch.indices, theirs.batch.indices)
    np.testing.assert_array_equal(ours.lines + 1, theirs.lines)


@pytest.mark.parametrize(
    ("delimiter", "reason"),
    [
        (
            "||",
            r"of 2 characters, and one is read; put a tab in its place first, such as by sed 's/\|\|/\\t/g'",
        ),
        ("", "give one character"),
        ("a", "give one character"),
        ("é", "give one character"),
    ],
)
def test_a_delimiter_that_cannot_be_used_is_refused(delimiter: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        formats.reader("csv", delimiter=delimiter)


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t", " ", "\x01", "~", ":"])
def test_any_other_character_may_stand_between_columns(delimiter: str) -> None:
    text = (b"click,site,bid\n" + ROWS).replace(b",", delimiter.encode())
    assert formats.parse(text, "csv", delimiter=delimiter, boolean=()).nnz == 4


@pytest.mark.parametrize("text", [b"", b"\n\n", b" \t", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("options", [{}, {"boolean": ()}, {"columns": NAMES}])
def test_blank_text_has_no_rows(text: bytes, options: dict[str, Any]) -> None:
    for chunks in ([text], [text[:1], text[1:]]):
        assert len(whole(formats.reader("csv", **options), *chunks).batch) == 0


class Name(str):
    """A column's name that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_thousands_of_columns_are_not_compared_with_each_other() -> None:
    columns = [Name(f"c{k}") for k in range(3000)]
    parts = Parts(Schema(), "c0", columns[1000:2000], columns[2000:], labels=True, boolean=columns[:500])
    parts.decide(columns)
    assert Name.compared < 10 * len(columns)
