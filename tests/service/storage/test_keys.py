"""The index of idempotency keys finds the newest record first, and forgets what has expired."""

import pytest

from nonzero_service.storage.keys import KeyIndex


@pytest.mark.parametrize("segment", [1, 7, 10_000])
def test_positions_come_newest_first(segment: int) -> None:
    index = KeyIndex(segment)
    expected: dict[str, list[int]] = {}
    for position in range(1, 200):
        key = f"key-{position * position % 41}"
        index.add(key, position)
        expected.setdefault(key, []).insert(0, position)
    for key, positions in expected.items():
        found = list(index.positions(key))
        assert found[0] == positions[0]
        assert found == [position for position in positions if position in found]
    assert list(index.positions("never")) == []


def test_what_expired_is_forgotten_a_segment_at_a_time() -> None:
    index = KeyIndex(10)
    for position in range(1, 36):
        index.add(f"key-{position}", position)
    assert len(index) == 35
    index.forget(19)
    assert list(index.positions("key-5")) == []
    assert list(index.positions("key-20")) == [20]
    assert len(index) == 25
    index.forget(32)
    assert [len(list(index.positions(f"key-{position}"))) for position in (30, 32, 33, 35)] == [0, 0, 1, 1]
    index.forget(35)
    assert len(index) == 0


def test_a_key_costs_sixteen_bytes() -> None:
    index = KeyIndex(1000)
    for position in range(10_000):
        index.add(f"key-{position}", position)
    assert sum(hashes.nbytes + places.nbytes for hashes, places in index._sealed) == 16 * 10_000
