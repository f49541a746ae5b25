"""The index of idempotency keys finds the newest record first, and forgets what has expired."""

import random
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from nonzero_service.journal import keys as keys_module
from nonzero_service.journal.keys import KeyIndex


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
    index.forget(30)
    assert [len(list(index.positions(f"key-{position}"))) for position in (20, 30, 31, 35)] == [0, 0, 1, 1]
    for position in range(36, 200):
        index.add(f"key-{position}", position)
        index.forget(position)
    assert len(index) <= 10


def test_a_key_costs_sixteen_bytes_beside_the_newest_segment() -> None:
    index = KeyIndex(1000)
    keys = [f"key-{position}" for position in range(20_900)]
    only = tracemalloc.Filter(inclusive=True, filename_pattern=keys_module.__file__)  # others' threads go on
    tracemalloc.start()
    try:
        took = []
        for end in (100, 900, 10_900, 20_900):
            for position in range(len(index), end):
                index.add(keys[position], position)
            found = tracemalloc.take_snapshot().filter_traces([only])
            took.append(sum(one.size for one in found.traces))
    finally:
        tracemalloc.stop()
    assert took[1] < 150 * 1000  # what the newest segment takes at most, beside the keys themselves
    assert took[3] - took[2] == pytest.approx(16 * 10_000, rel=0.05)


def test_keys_that_are_asked_for_while_others_come_are_found() -> None:
    index = KeyIndex(100)
    added, ended = 0, threading.Event()

    def ask() -> None:
        chance = random.Random(1)
        while not ended.is_set():
            if wanted := added:
                position = chance.randrange(max(0, wanted - 300), wanted)
                assert position in index.positions(f"key-{position}")
            asked.append(wanted)

    asked: list[int] = []
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        # Until some were asked for between others, however seldom the other thread has its turn.
        while (added < 20_000 or len({*asked[-9:]}) < 2) and not asking.done():
            index.add(f"key-{added}", added)
            added += 1
        ended.set()
        asking.result()
