"""Places in the order of first touch, and marks of touched rows, against plain Python."""

from __future__ import annotations

import numpy as np

from nonzero.kernels.places import look_up, mark, place
from nonzero.native.lanes import OneLane

BITS = 8


def test_places_are_given_in_the_order_of_first_touch() -> None:
    rng = np.random.default_rng(1)
    places, slots = np.zeros(2**BITS, np.uint32), np.zeros(2**BITS + 1, np.uint32)
    pairs = OneLane(places.view(np.float32).reshape(-1, 2))
    expected: dict[int, int] = {}
    taken = 0
    for _ in range(5):
        indices = rng.integers(0, 2**31, 60).astype(np.uint32)
        named = [int(index) % 2**BITS for index in indices]
        before, out = np.empty(60, np.uint32), np.empty(60, np.uint32)
        look_up(indices, 2**BITS - 1, places, before)
        assert before.tolist() == [expected.get(slot, 0) for slot in named]
        taken = place(indices, 2**BITS - 1, places, pairs, slots, taken, out)
        for slot in named:
            expected.setdefault(slot, len(expected) + 1)
        assert out.tolist() == [expected[slot] for slot in named]
        assert taken == len(expected)
        assert slots[1 : taken + 1].tolist() == [*expected]


def test_marks_are_of_rows_with_another_word() -> None:
    rng = np.random.default_rng(2)
    for fill, n in ((0, 130), (-1, 64), (0, 1)):
        words = np.full((n, 3), fill, np.int64)
        rows = np.flatnonzero(rng.random(n) < 0.3)
        words[rows, rng.integers(0, 3, rows.size)] = 12
        masks = np.full(-(-n // 64), 77, np.uint64)  # what was there is no part of it
        mark(words.view(np.uint64), fill, masks)
        found = [
            64 * block + bit
            for block, mask in enumerate(masks.tolist())
            for bit in range(64)
            if mask >> bit & 1
        ]
        assert found == rows.tolist()
