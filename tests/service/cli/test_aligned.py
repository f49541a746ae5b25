"""What several readers find in the same lines, however each of them cuts the files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nonzero.errors import LineError
from nonzero_service.cli.aligned import LinePart, aligned, key_of, line_of

Lines = list[tuple[int, int]]


def parts(lines: Lines, bad: set[tuple[int, int]], cuts: set[int], factor: int) -> Iterator[LinePart]:
    """Read lines in parts: each has a row of a number that is made of it, or is an error."""
    held: Lines = []
    for k, line in enumerate(lines):
        held.append(line)
        if k in cuts or k == len(lines) - 1:
            keys = [key_of(*one) for one in held if one not in bad]
            yield LinePart(
                np.array(keys, np.int64),
                (np.array(keys, np.int64) * factor,),
                tuple(LineError(key_of(*one), f"{factor}") for one in held if one in bad),
                key_of(*held[-1]),
            )
            held = []


LINES = [(file, line) for file in range(3) for line in range(1, 9) if file != 1]
SOME = st.sets(st.sampled_from(LINES))


@given(SOME, SOME, st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_rows_that_all_have_are_paired_in_any_parts(first: Any, second: Any, cuts: Any, others: Any) -> None:
    found = list(aligned([parts(LINES, first, cuts, 2), parts(LINES, second, others, 3)]))
    keys = np.concatenate([one.parts[0].keys for one in found])
    assert [line_of(key) for key in keys.tolist()] == [x for x in LINES if x not in first | second]
    for place, factor in ((0, 2), (1, 3)):
        rows = np.concatenate([one.parts[place].columns[0] for one in found])
        assert (rows == factor * keys).all()
    errors = [error for one in found for error in one.errors]
    assert [line_of(error.line) for error in errors] == sorted(first | second)
    assert [error.reason for error in errors] == ["2" if x in first else "3" for x in sorted(first | second)]
    assert sum(one.alone for one in found) == len(first ^ second)


def test_a_reader_that_finds_nothing_pairs_with_nothing() -> None:
    for streams in (
        [parts(LINES, set(), set(), 2), iter(())],
        [iter(()), parts(LINES, set(), {3}, 2)],
    ):
        found = list(aligned(streams))
        assert sum(one.parts[0].keys.size for one in found) == 0
        assert sum(one.alone for one in found) == len(LINES)


def test_no_more_is_read_of_the_others_than_is_needed() -> None:
    taken = 0

    def counted() -> Iterator[LinePart]:
        nonlocal taken
        for part in parts(LINES, set(), set(range(20)), 3):
            taken += 1
            yield part

    stream = aligned([parts(LINES, set(), {4, 9}, 2), counted()])
    next(stream)
    assert taken == 5
