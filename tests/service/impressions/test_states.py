from __future__ import annotations

import numpy as np
import pytest

from nonzero_service.impressions import states
from nonzero_service.impressions.states import WAITING, ImpressionState, first_of, is_one_of


@pytest.mark.parametrize("block", [1, 7, 100, 1 << 14])
@pytest.mark.parametrize("limit", [0, 1, 5, 1000])
def test_the_first_of_some_states_are_found_block_by_block(
    monkeypatch: pytest.MonkeyPatch, block: int, limit: int
) -> None:
    monkeypatch.setattr(states, "BLOCK", block)
    known = np.random.default_rng(3).choice(list(ImpressionState), 200).astype(np.uint8)
    everywhere = np.flatnonzero(is_one_of(known, WAITING))
    for start, stop in ((0, 200), (13, 150), (60, 60)):
        expected = everywhere[(everywhere >= start) & (everywhere < stop)][:limit]
        assert first_of(known, start, stop, WAITING, limit).tolist() == expected.tolist()
