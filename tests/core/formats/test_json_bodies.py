"""The bodies of requests."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.formats.json_texts import EXAMPLES
from core.formats.plainly import assert_same, whole
from nonzero import formats
from nonzero.errors import FormatError
from nonzero.fields.hashing import NAME_WORDS
from nonzero.formats.expected import Expected
from nonzero.formats.json_bodies import parse_body, read_bodies, read_body
from nonzero.formats.json_examples import read_examples
from nonzero.formats.json_workspace import Workspace
from nonzero.formats.row_arrays import RowArrays


@given(st.lists(EXAMPLES, max_size=4), st.sampled_from([None, 2]))
def test_body_reads_as_lines_do(examples: list[dict[str, Any]], indent: int | None) -> None:
    parsed = whole(formats.reader("ndjson"), "\n".join(json.dumps(example) for example in examples).encode())
    body = json.dumps({"examples": examples}, indent=indent).encode()
    if parsed.errors:
        with pytest.raises(FormatError) as caught:
            parse_body(body)
        assert caught.value.lines == parsed.errors
    else:
        batch = parse_body(body)
        assert_same(parsed._replace(batch=batch), parsed)
        for r, one in enumerate(examples):
            alone = parse_body(json.dumps(one, indent=indent).encode())
            assert_same(parsed._replace(batch=alone), parsed._replace(batch=batch.rows(r, r + 1)))


@pytest.mark.parametrize("lines", [1, 2, 1023, 1024, 1025, 5000, 16_000])
@pytest.mark.parametrize("example", [b'{"features": {"a": "b"}, "label": 1}', b"{", b""])
def test_a_body_may_have_any_number_of_lines(example: bytes, lines: int) -> None:
    try:
        alone = parse_body(example)
    except FormatError:
        with pytest.raises(FormatError):
            parse_body(example + b"\n" * lines)
        with pytest.raises(FormatError):
            parse_body(b"\n" * lines + example)
        assert read_body(b"\n" * lines + example) is None
    else:
        for body in (example + b"\n" * lines, b"\n" * lines + example):
            batch = parse_body(body)
            assert (batch.indices.tolist(), batch.labels.tolist()) == ([*alone.indices], [*alone.labels])


def test_lines_that_there_is_no_room_for_are_not_read() -> None:
    whole, beyond = RowArrays.allocate(10, 20), 7
    for array in whole:
        array.fill(77)
    rows = RowArrays._make(array[:-beyond] for array in whole)
    workspace = Workspace()
    workspace.buffer[:10] = b"\n" * 10
    known, names = Expected().of(workspace.schema), np.empty(NAME_WORDS, np.uint32)
    n = read_examples(workspace.array, 10, workspace.scratch, rows, known, names, workspace.fields.table)
    assert n == len(rows.plain) == 3
    assert all((array[-beyond:] == 77).all() for array in whole)


UNUSUAL = [b"", b"\n", b"{", b"[]", b'{"examples": []}', b'{"features": {"a": "x\ny"}}', b"{}\n{}"]


@given(st.lists(EXAMPLES, max_size=4), st.sampled_from([None, 2]), st.permutations(UNUSUAL))
def test_bodies_read_at_once_are_read_as_each_alone(
    examples: list[dict[str, Any]], indent: int | None, unusual: list[bytes]
) -> None:
    bodies = [json.dumps(one, indent=indent).encode() for one in examples]
    mixed = [body for pair in zip_longest(bodies, unusual) for body in pair if body is not None]
    parsed = read_bodies(mixed)
    assert (parsed.lines_read, parsed.errors, len(parsed.batch)) == (len(mixed), (), parsed.lines.size)
    for row, number in enumerate(parsed.lines.tolist()):
        alone = parsed._replace(batch=parse_body(mixed[number - 1]))
        assert_same(alone, parsed._replace(batch=parsed.batch.rows(row, row + 1)))
        assert mixed[number - 1] not in unusual


def test_bodies_without_anything_unusual_are_all_read() -> None:
    bodies = [b'{"features": {"site": "s%d"}, "label": 1}' % j for j in range(3000)]
    assert read_bodies(bodies).lines.tolist() == list(range(1, 3001))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n ",
        b"[]",
        b"7",
        b'{"features": {"a": "x\ny"}}',
        b'{"examples": [{"features": {"a": "x\ny"}}]}',
        b'{"examples": [{"features": {}}',
        b'{"examples": [{"features": {}} {"features": {}}]}',
        b'{"examples": [{"features": {}},]}',
        b'{"examples": {}}',
        b'{"examples": []}}',
        b'{"examples": [], "strict": true}',
        b'{"examples": [], "examples": []}',
        b'{"examples": ' + b"[" * 100_000,
        b'{"features": {}} {"features": {}}',
        b'{"features": {}',
        b"\xff",
    ],
)
def test_body_of_another_form_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_body(body)
    assert caught.value.lines == ()


def test_body_names_every_bad_example() -> None:
    examples: list[Any] = [{"features": {}}] * 1100
    examples[3], examples[1099] = {"features": {"a": {}}}, 7
    with pytest.raises(FormatError, match=r"example 4: .*example 1100: ") as caught:
        parse_body(json.dumps({"examples": examples}).encode())
    assert [error.line for error in caught.value.lines] == [4, 1100]
    with pytest.raises(FormatError, match=r"example 1: the label is 2") as caught:
        parse_body(b'{"features": {}, "label": 2}')
    assert [error.line for error in caught.value.lines] == [1]


def test_body_without_examples_has_no_rows() -> None:
    assert len(parse_body(b' { "examples" : [ ] } ')) == 0
