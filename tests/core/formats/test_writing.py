"""Text that is written reads back to the rows that it was made of, or is refused with a reason."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from core.formats.plainly import whole
from core.formats.vw_texts import line_of
from nonzero import Batch, InputError, Schema, formats
from nonzero.formats.named_rows import NamedRows, read_named
from nonzero.formats.writing import WRITERS, NDJSONWriter, VWWriter, slot_lines

VW = (
    b"1 2.5 'imp-1 |site news sport |ad 7\n-1 |site blog |empty\n |site x\n0 | site=news |\xc3\xbc \xc3\xb8\n"
)
NDJSON = (
    '{"features": {"site": "news", "bid": 0.1, "tags": ["a", "b"], "on": true, "ü": "ø"}, "label": 1}\n'
    '{"features": {}, "label": 0, "weight": 0.25, "id": "x y", "time": 12}\n'
    '{"features": {"site": "a", "site": "b", "none": null}}\n'
    '{"indices": [3, 17, 3], "values": [1.5, 1, -2e-8], "label": 1}\n'
    '{"features": {"a": "b"}, "indices": [5]}\n'
).encode()
CSV = b'click,site,bid,q\n1,news,0.5,"a ""b"",\nc"\n0,,,plain\n0,blog,2,\n'
NUMBER = Schema({"bid": "number"})


def read(text: bytes, name: str, **options: Any) -> NamedRows:
    """Read a text with its names, in chunks that end anywhere."""
    chunks = [text[start : start + 50] for start in range(0, len(text), 50)]
    parts = list(read_named(chunks, formats.reader(name, **options)))
    batch = Batch.concatenate([part.parsed.batch for part in parts])
    lines = np.concatenate([part.parsed.lines for part in parts])
    errors = tuple(error for part in parts for error in part.parsed.errors)
    parsed = parts[0].parsed._replace(batch=batch, lines=lines, errors=errors)
    return NamedRows(parsed, [row for part in parts for row in part.rows])


def rows_of(batch: Batch) -> list[tuple[Any, ...]]:
    fields = np.zeros(batch.nnz, np.uint16) if batch.fields is None else batch.fields
    ids = batch.ids or [None] * len(batch)
    return [
        (
            batch.indices[a:b].tolist(),
            batch.explicit_values()[a:b].tolist(),
            fields[a:b].tolist(),
            str(batch.labels[r]),
            batch.weights[r],
            ids[r],
        )
        for r, (a, b) in enumerate(zip(batch.indptr[:-1], batch.indptr[1:], strict=True))
    ]


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        (VW, "vw", {}),
        (NDJSON, "ndjson", {"schema": NUMBER}),
        (CSV, "csv", {"schema": NUMBER, "boolean": ()}),
        (b"1 3:0.5 17:1\n0 # nothing\n", "libsvm", {}),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_rows_with_names_are_those_without(text: bytes, name: str, options: dict[str, Any]) -> None:
    expected = whole(formats.reader(name, **options), text)
    found = read(text, name, **options)
    assert found.parsed.errors == expected.errors
    assert found.parsed.lines.tolist() == expected.lines.tolist()
    assert rows_of(found.parsed.batch) == rows_of(expected.batch)
    assert [row.indices for row in found.rows] == [row[0] for row in rows_of(expected.batch)]
    assert all(set(row.names) <= set(range(len(row.indices))) for row in found.rows)


@pytest.mark.parametrize("target", WRITERS)
@pytest.mark.parametrize(
    ("text", "name", "refused"),
    [
        (VW, "vw", {"vw": 0, "ndjson": 0}),
        (NDJSON, "ndjson", {"vw": 3, "ndjson": 0}),
        (CSV, "csv", {"vw": 1, "ndjson": 0}),
    ],
    ids=["vw", "ndjson", "csv"],
)
def test_each_line_reads_back_to_its_row(
    target: str, text: bytes, name: str, refused: dict[str, int]
) -> None:
    options = {"boolean": ()} if name == "csv" else {}
    found = read(text, name, schema=NUMBER, **options)
    writer = WRITERS[target]()
    lines, errors = writer.write(found)
    assert len(errors) == refused[target]
    left_out = {error.line for error in errors}
    expected = [
        row
        for row, line in zip(rows_of(found.parsed.batch), found.parsed.lines, strict=True)
        if line not in left_out
    ]
    schema = Schema(dict.fromkeys(writer.numbers, "number"))
    assert writer.numbers <= {"bid", "on"}
    assert rows_of(formats.parse(lines, target, schema=schema)) == expected
    assert lines.count(b"\n") == len(expected)


def test_vw_text_of_any_kind_reads_back_or_is_refused() -> None:
    """Whatever a line is, what is written of it is the same row: no line is written that says another."""
    rng = random.Random(5)
    text = "".join(line_of(rng)[0] + "\n" for _ in range(1500)).encode(errors="surrogateescape")
    for separator in "=^":
        schema = Schema({}, namespace_separator=separator)
        found = read(text, "vw", schema=schema)
        assert len(found.rows) > 500
        for target, least in (("vw", 0.6), ("ndjson", 0.02)):
            writer = WRITERS[target](separator)
            lines, errors = writer.write(found)
            left_out = {error.line for error in errors}
            expected = [
                row
                for row, line in zip(rows_of(found.parsed.batch), found.parsed.lines, strict=True)
                if line not in left_out
            ]
            again = Schema(dict.fromkeys(writer.numbers, "number"), namespace_separator=separator)
            assert rows_of(formats.parse(lines, target, schema=again)) == expected
            assert len(expected) >= least * len(found.rows) or separator == "^"
            assert all(error.reason for error in errors)


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (b'{"features": {"q": "red shoes"}}', "'red shoes' has a blank, ':' or '|' in it"),
        (b'{"features": {"a|b": "c"}}', "'a|b' has a blank"),
        (b'{"features": {"q": ""}}', "the field 'q' is empty"),
        (b'{"indices": [3]}', "it has features by index"),
        (b'{"features": {}, "weight": 2}', "it has the weight 2 and no label"),
        (b'{"features": {"a": "b"}, "id": "x y", "label": 1}', "its id 'x y' has a blank"),
        (b'{"features": {"a*": 3}}', "a '*' in its name"),
    ],
)
def test_what_vw_text_cannot_say(example: bytes, reason: str) -> None:
    lines, [error] = VWWriter().write(read(example, "ndjson"))
    assert (lines, error.line) == (b"", 1)
    assert reason in error.reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1 |ad x:2", "the category 'ad=x' has the value 2"),
        (b"1 | word", "the feature 'word' has no field"),
        (b"1 |site \xff", "is not UTF-8"),
    ],
)
def test_what_ndjson_cannot_say(line: bytes, reason: str) -> None:
    _, [error] = NDJSONWriter().write(read(line, "vw"))
    assert reason in error.reason


def test_a_field_of_words_and_numbers_by_turns_is_not_written_as_something_else() -> None:
    text = b'{"features": {"bid": 3}}\n{"features": {"bid": "x"}}\n{"features": {"bid": "7"}}\n'
    lines, errors = VWWriter().write(read(text, "ndjson"))
    assert lines == b"|bid 3\n"
    assert [error.line for error in errors] == [2, 3]
    assert "it would not be read as the same features" in errors[1].reason


def test_slots_are_low_bits_of_hashes_and_indices_as_they_are() -> None:
    batch = Batch(
        [0, 3, 3],
        [9, 2**31, 2**31 - 3],
        [1, 0.1, -2],
        [1, 0],
        fields=[0, 5, 6],
        times=[7, -1],
        weights=[1, 3],
    )
    assert slot_lines(batch, 4, "ndjson") == [
        b'{"indices":[9,0,13],"values":[1,0.1,-2],"label":1,"time":7}\n',
        b'{"indices":[],"label":0,"weight":3}\n',
    ]
    first, second = slot_lines(batch, 4, "libsvm")
    assert first == b"1 9:1 0:0.1 13:-2\n"
    assert isinstance(second, InputError)
    assert "the weight 3" in str(second)
    [nothing] = slot_lines(Batch([0, 0], []), 4, "libsvm")
    assert "neither label nor features" in str(nothing)
    back = formats.parse(b"1 9:1 0:0.1 13:-2\n", "libsvm")
    assert back.indices.tolist() == [9, 0, 13]
    assert back.explicit_values().tolist() == batch.explicit_values().tolist()
