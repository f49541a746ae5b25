"""A format that has nothing but a plain parser is read as any other, and any chunking gives the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from core.formats.plainly import assert_same, whole
from nonzero import InputError
from nonzero.fields.counts import ContradictionError
from nonzero.fields.hashing import field_of, index_of
from nonzero.formats import NAMES, registry
from nonzero.formats.assembly import PlainRow
from nonzero.formats.format import Format
from nonzero.formats.reading import Reader
from nonzero.sources.files import format_of


class Words(Format):
    """``label word word``: a word is the feature ``word=...``; ``!`` contradicts the schema."""

    name = "words"

    def parse_line(self, line: bytes) -> PlainRow:
        label, *words = line.split()
        if label not in (b"0", b"1"):
            raise InputError(f"the label is {label!r}")
        row = PlainRow(label=float(label))
        for word in words:
            if word == b"!":
                raise ContradictionError("'!' is no word", "word")
            row.add(index_of(b"word=" + word), 1.0, field_of("word"))
        return row

    def alike(self) -> Words:
        return Words(self.schema)

    def skips(self, line: bytes) -> bool:
        return not line.strip()


TEXT = b"1 news sport\n0\r\n\n2 a\n1 !\n0 last"


def test_a_plain_parser_is_enough() -> None:
    found = whole(Reader(Words()), TEXT)
    assert found.lines.tolist() == [1, 2, 6]
    assert [(error.line, error.reason) for error in found.errors] == [
        (4, "the label is b'2'"),
        (5, "'!' is no word"),
    ]
    assert found.skipped == (3,)
    assert found.batch.labels.tolist() == [1, 0, 0]
    assert found.batch.indptr.tolist() == [0, 2, 2, 3]
    np.testing.assert_array_equal(found.batch.indices[:2], [index_of("word=news"), index_of("word=sport")])


def test_any_chunking_gives_the_same_rows() -> None:
    expected = whole(Reader(Words()), TEXT)
    for cut in range(len(TEXT) + 1):
        assert_same(whole(Reader(Words()), TEXT[:cut], TEXT[cut:]), expected)


def test_a_line_that_contradicts_the_schema_is_counted_once() -> None:
    form = Words()
    assert dict(Reader(form).feed(TEXT).conflicts) == {"word": 1}
    assert form.schema.conflicts.counts() == {"word": 1}


@pytest.mark.parametrize("name", NAMES)
def test_endings_imply_their_format(name: str) -> None:
    for ending in registry.FORMATS[name].endings:
        assert format_of("log" + ending) == name
        assert format_of("log" + ending.upper() + ".gz") == name
