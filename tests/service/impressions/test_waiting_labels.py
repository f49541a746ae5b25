"""Labels that wait for their impressions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nonzero.batches.ids import Ids
from nonzero_service.impressions import waiting_labels
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.waiting_labels import WaitingLabel, WaitingLabels


class Waiting(WaitingLabels):
    """Such labels, and what undoes their changes."""

    def __init__(self) -> None:
        self.undone: list[Callable[[], object]] = []
        super().__init__(self.undone.append)

    def undo(self) -> None:
        while self.undone:
            self.undone.pop()()

    def put(self, *labels: WaitingLabel, position: int = 1) -> tuple[list[str], list[str], int]:
        new, met, gone = self.add(hashed(*(one.id for one in labels)), labels, position)
        return [one.id for one in new], list(met), gone

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self]


def hashed(*ids: str) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return hashes_of(Ids.of(list(ids)), np.arange(len(ids)))


def click(name: str, time_ms: int = 0, label: int = 1) -> WaitingLabel:
    return WaitingLabel(name, label, time_ms)


def test_what_comes_takes_its_labels_in_the_order_of_these() -> None:
    waiting = Waiting()
    assert waiting.put(click("a"), click("b"), click("c")) == (["a", "b", "c"], [], 0)
    assert [one.id for one in waiting.take(hashed("c", "x", "a"))] == ["a", "c"]
    assert waiting.take(hashed("c", "a")) == []
    assert waiting.ids == ["b"]


def test_the_first_label_of_an_id_counts() -> None:
    waiting = Waiting()
    assert waiting.put(click("a"), click("a"), click("a", label=0)) == (
        ["a"],
        ["duplicate", "conflicting"],
        0,
    )
    assert waiting.put(click("a", 9, label=0)) == ([], ["conflicting"], 0)
    assert waiting.take(hashed("a")) == [click("a")]


def test_they_wait_for_a_while_of_event_time() -> None:
    waiting = Waiting()
    waiting.put(click("a", 1000), click("b", 1050))
    assert waiting.expire(1000) == 0
    assert waiting.expire(1001) == 1
    assert waiting.ids == ["b"]
    assert waiting.expire(1051) == 1


def test_one_that_came_out_of_order_waits_no_less_than_the_one_before() -> None:
    waiting = Waiting()
    waiting.put(click("late", 1000), click("early", 10))
    assert waiting.expire(1000) == 0
    assert waiting.expire(1001) == 2


def test_the_oldest_gives_way_to_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_labels, "MOST", 3)
    waiting = Waiting()
    assert waiting.put(click("a"), click("b"), click("c")) == (["a", "b", "c"], [], 0)
    assert waiting.put(click("d"), click("e")) == (["d", "e"], [], 2)
    assert waiting.ids == ["c", "d", "e"]


def test_the_journal_is_needed_from_the_oldest_on() -> None:
    waiting = Waiting()
    assert waiting.needed_from is None
    waiting.put(click("a"), click("b"), position=waiting_labels.UNPLACED)
    assert waiting.needed_from is None
    waiting.place(7)
    waiting.put(click("c"), position=waiting_labels.UNPLACED)
    waiting.place(9)
    assert waiting.needed_from == 7
    waiting.take(hashed("a", "b"))
    assert waiting.needed_from == 9


def test_what_was_undone_never_was() -> None:
    waiting = Waiting()
    waiting.put(click("a", 10), click("b", 20), click("c", 900))
    waiting.undone.clear()  # the journal has them
    waiting.take(hashed("b"))
    waiting.put(click("d", 950), click("b", 960), click("c"))
    assert waiting.expire(15) == 1
    waiting.take(hashed("d"))
    waiting.undo()
    assert waiting.ids == ["a", "b", "c"]
    assert waiting.expire(900) == 2
    assert waiting.put(click("e", 905)) == (["e"], [], 0)
    assert waiting.ids == ["c", "e"]
