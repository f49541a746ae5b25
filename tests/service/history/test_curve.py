"""The learning curve: at most 256 points, whose distance doubles, of whatever groups a stream consists."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from nonzero_service.history.curve import Curve
from nonzero_service.history.points import Point


def learned(groups: list[int]) -> tuple[Curve, int]:
    curve, n = Curve(), 0
    for group in groups:
        begun, n = n, n + group
        curve = curve.add(Point(n, begun, n, n, (n, n, 0.0, 0.0, 0.0)))
    return curve, n


@pytest.mark.parametrize("sizes", [(1, 1), (100, 100), (1, 700), (5000, 70_000)])
def test_points_are_few_and_about_equally_far_apart(sizes: tuple[int, int]) -> None:
    chance = random.Random(0)
    groups = [chance.randint(*sizes) for _ in range(3000)]
    curve, n = learned(groups)
    assert 64 <= len(curve.points) <= 256
    counts = [point.totals[0] for point in curve.points]
    apart = [b - a for a, b in pairwise(counts)]
    assert max(apart) <= 2 * max(curve.width, sizes[1])
    assert n - counts[-1] <= max(curve.width, sizes[1])
    assert counts == sorted(set(counts))


def test_each_begins_where_those_do_that_it_takes_in() -> None:
    curve, _ = learned([1] * 1000)
    assert [point.begun for point in curve.points] == [0, *(point.sequence for point in curve.points[:-1])]


def test_each_is_the_first_at_or_after_a_multiple() -> None:
    whole, _ = learned([10] * 5000)
    counts = [int(point.totals[0]) for point in whole.points]
    assert counts == sorted({-(-k * whole.width // 10) * 10 for k in range(1, len(counts) + 1)})
