"""Ids in one buffer are a sequence like any other."""

from __future__ import annotations

import numpy as np
import pytest

from nonzero.batches.ids import Ids

NAMES = ["imp-1", None, "é", "", 'a"b', "x" * 255]


def test_they_are_the_strings_that_they_were_made_of() -> None:
    ids = Ids.of(NAMES)
    assert ids == NAMES
    assert len(ids) == len(NAMES)
    assert [ids[r] for r in range(len(NAMES))] == NAMES
    assert ids[-1] == NAMES[-1]
    assert Ids.of(ids) is ids
    assert "é" in ids
    with pytest.raises(IndexError):
        ids[len(NAMES)]


@pytest.mark.parametrize(
    "part", [slice(1, 4), slice(0, 0), slice(4, 2), slice(None, None, 2), slice(-2, None)]
)
def test_a_part_is_a_part(part: slice) -> None:
    assert Ids.of(NAMES)[part] == NAMES[part]


def test_several_are_joined() -> None:
    assert Ids.concatenate([Ids.of(NAMES), [None, "b"], Ids.of([])]) == [*NAMES, None, "b"]
    assert Ids.concatenate([]) == []


@pytest.mark.parametrize(
    ("text", "plain"),
    [("imp-1 ~", True), ("é", False), ('"', False), ("\\", False), ("\t", False), ("\x7f", False)],
)
def test_what_json_writes_as_it_is(text: str, plain: bool) -> None:
    data = bytearray(b"..." + text.encode() + b"ok")
    end = len(data) - 2
    ids = Ids.of_spans(data, np.array([[3, end], [-1, -1], [end, end + 2]]))
    assert ids == [text, None, "ok"]
    assert ids.plain is plain
    assert Ids.concatenate([ids, ids]).plain is plain
    assert ids[2:].plain is plain
