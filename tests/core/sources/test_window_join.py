"""Which impressions were clicked, against a plain look at each click."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero.sources import window_join
from nonzero.sources.scratch import Scratch
from nonzero.sources.window_join import CLICKED, NEGATIVE, REPEATED, WindowJoin


def plainly(
    shown: list[tuple[int, int]], clicked: list[tuple[int, int]], window: int
) -> tuple[Any, Counter[str]]:
    labels = [NEGATIVE] * len(shown)
    firsts: dict[int, int] = {}
    counts: Counter[str] = Counter()
    for k in sorted(range(len(shown)), key=lambda k: (shown[k][1], k)):
        if shown[k][0] in firsts:
            labels[k] = REPEATED
        firsts.setdefault(shown[k][0], k)
    for name, moment in clicked:
        k = firsts.get(name, -1)
        delay = moment - shown[k][1]
        if k < 0:
            counts["clicks_without"] += 1
        elif delay < 0:
            counts["clicks_before"] += 1
        elif delay > window:
            counts["clicks_after"] += 1
        else:
            counts["repeated_clicks" if labels[k] == CLICKED else "joined_clicks"] += 1
            labels[k] = CLICKED
    return labels, counts


@pytest.mark.parametrize("buffer", [7, 1 << 19])
@pytest.mark.parametrize("spread", [1, 1 << 55])
def test_it_is_what_a_plain_look_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer: int, spread: int
) -> None:
    monkeypatch.setattr(window_join, "_BUFFER", buffer)
    rng = np.random.default_rng(buffer)
    shown, clicked = (
        np.stack([rng.integers(0, 500, n) * spread, rng.integers(0, 1000, n)], axis=1) for n in (700, 3000)
    )
    with Scratch(tmp_path) as scratch:
        found = WindowJoin(200, scratch)
        for add, events in ((found.add_impressions, shown), (found.add_clicks, clicked)):
            for part in np.array_split(events, 13):
                add(part[:, 0].astype(np.uint64), part[:, 1])
        labels, counts = found.join()
    wanted, plain = plainly([*map(tuple, shown.tolist())], [*map(tuple, clicked.tolist())], 200)
    assert labels.tolist() == wanted
    figures = counts.to_dict()
    assert {name: figures[name] for name in plain} == plain
    assert len(plain) == 5
    assert (figures["impressions"], figures["clicks"]) == (700, 3000)
    assert figures["positives"] == wanted.count(CLICKED)
    assert figures["negatives"] == wanted.count(NEGATIVE)
    assert figures["repeated_impressions"] == wanted.count(REPEATED)


def test_of_nothing_there_is_nothing(tmp_path: Path) -> None:
    with Scratch(tmp_path) as scratch:
        labels, counts = WindowJoin(1, scratch).join()
    assert labels.size == 0
    assert set(counts.to_dict().values()) == {0}
