"""What columns are judged to be, whatever the order of the samples."""

from __future__ import annotations

from itertools import permutations

import pytest

from nonzero.formats.judging import Judge


def column(*values: str) -> list[list[bytes]]:
    return [[value.encode()] for value in values]


IDS = [f"u{n}" for n in range(300)]
NUMBERS = [str(n) for n in range(300)]


@pytest.mark.parametrize(
    ("samples", "numbers", "booleans"),
    [
        ([IDS], True, False),
        ([IDS[:50], IDS[50:]], True, False),
        ([IDS[:60]], False, False),  # too few to tell
        ([IDS, IDS[:1]], False, False),  # one comes again in another file
        ([[*IDS, ""]], True, False),  # an empty cell is no value
        ([NUMBERS, NUMBERS], True, False),  # each file counts from 0
        ([NUMBERS, NUMBERS, IDS], False, False),
        ([[*NUMBERS, "299"]], False, False),
        ([["True", "false"] * 80], False, True),
        ([["True", "false"] * 80, ["maybe"]], False, False),
        ([[""]], False, False),
    ],
)
def test_columns_are_judged_alike_in_any_order(
    samples: list[list[str]], numbers: bool, booleans: bool
) -> None:
    for some in permutations(samples):
        judge = Judge()
        for sample in some:
            judge.add(["c"], column(*sample))
        assert (list(judge.numberings()) == ["c"], judge.booleans() == ["c"]) == (numbers, booleans)


def test_a_column_may_be_missing_in_some_tables() -> None:
    judge = Judge()
    judge.add(["a", "b", ""], [[b"1", b"x", b"z"]] * 200)
    judge.add(["b", "c"], [[b"x", b"%d" % n] for n in range(200)])
    assert judge.numberings() == {"c": 200}
    assert judge.booleans() == []
