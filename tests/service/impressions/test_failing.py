"""Whatever fails before the journal has it: impressions can be learned from again, and counts are true."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from nonzero_service import impressions
from nonzero_service.impressions.rules import Negatives, Rules
from nonzero_service.journal.errors import JournalError, StorageError
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.work import EndWindows, LabelImpressions, Rows, StreamState
from service.impressions.journalled import JournalledImpressions, impress, numbers_of
from service.impressions.test_store import HOUR, RULES, batch, probabilities

HERE = str(Path(impressions.__file__).parent)
N = 12


class InjectedError(Exception):
    """What is raised where nothing would be."""


@contextmanager
def raising_at(count: int) -> Iterator[list[int]]:
    """Raise at the call with this number, of all that the store and what it is made of make; count them."""
    calls = [0]

    def profile(frame: FrameType, event: str, _: Any) -> None:
        caller = frame if event == "c_call" else frame.f_back
        if event not in ("call", "c_call") or caller is None or _is_no_call(frame):
            return
        if caller.f_code.co_filename.startswith(HERE):
            calls[0] += 1
            if calls[0] == count:
                raise InjectedError

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def _is_no_call(frame: FrameType | None) -> bool:
    """Whether it is a generator's end, or undoing: what fails twice at once is for a new start."""
    while frame is not None:
        if frame.f_code.co_name in ("<genexpr>", "undo"):
            return True
        frame = frame.f_back
    return False


def made(directory: Path, rules: Rules = RULES, pause: PauseState | None = None) -> JournalledImpressions:
    kept = JournalledImpressions(directory, rules, pause)
    kept.keep(batch(N), probabilities(N), 0)
    return kept


def end() -> tuple[Rows, int]:
    return EndWindows(StreamState()), 2 * HOUR


def label() -> tuple[Rows, int]:
    names, labels = [f"imp-{j}" for j in range(N)], [j % 2 for j in range(N)]
    return LabelImpressions(names, labels, StreamState()), 1


def predict() -> tuple[Rows, int]:
    return impress(batch(N, 100), probabilities(N), 1), 1


@pytest.mark.sampled(3)
@pytest.mark.parametrize("what", [end, label, predict])
@pytest.mark.parametrize("negatives", ["at_once", "window", "at_end"])
def test_an_exception_at_every_call_leaves_it_to_be_made(
    tmp_path: Path, what: Callable[[], tuple[Rows, int]], negatives: Negatives
) -> None:
    kept = made(tmp_path / "model", Rules(HOUR, HOUR, 1.0, negatives))
    store, count, seen = kept.store, 0, 0
    before, states, last_ms = +store.counts, store.segments[0].states.copy(), store.builder.last_ms
    while True:
        count += 1
        try:
            with raising_at(count) as calls:
                kept.prepare(*what())
        except InjectedError:
            seen += 1
        if calls[0] < count:
            break
        store.undo()
        assert +store.counts == before, count
        assert store.segments[0].used == store.segments.next_number == N
        assert (store.segments[0].states == states).all(), count
        assert (store.windows.ended, len(store.arrivals.delays), store.mark) == (0, 0, 0)
        assert store.builder.last_ms == last_ms  # or what is read again of a topic would be so late
    assert seen > 20
    store.undo()
    prepared = kept.do(what()[0], now_ms=what()[1])[0]
    if what is predict:
        assert sum(row.stops.size for row, _ in prepared.kept) == N
    else:
        assert store.pending == 0
    kept.restart()
    # The ends of these windows are no rows: a start works them out from the clock.
    kept.end_all(2 * HOUR)
    assert kept.store.pending == 0


class Refusing:
    """A journal's reader that refuses, for some times or always, what stands at some place of a body."""

    def __init__(self, kept: JournalledImpressions, times: int = 10**9, at: int | None = None) -> None:
        self.left = times
        self._at = at
        self._real = kept.store.reader.read
        kept.store.reader.read = self

    def __call__(self, position: int, offset: int, size: int) -> bytes:
        if self.left and (self._at is None or offset <= self._at < offset + size):
            self.left -= 1
            raise JournalError("the disk does not read it")
        return self._real(position, offset, size)


@pytest.mark.parametrize("what", [end, label])
def test_a_read_error_that_passes_costs_nothing(tmp_path: Path, what: Callable[[], tuple[Rows, int]]) -> None:
    kept = made(tmp_path / "model")
    Refusing(kept, times=1)
    with pytest.raises(StorageError):
        kept.prepare(*what())
    assert kept.store.pending == N
    work, now_ms = what()
    assert len(kept.do(work, now_ms=now_ms)[0].batch) == N
    assert kept.store.counts["damaged"] == 0


def test_a_row_that_cannot_be_read_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nonzero_service.impressions.record_reader.UNREAD_SECONDS", 0.0)
    kept = made(tmp_path / "model")
    kept.keep(batch(3, 50), probabilities(3), 1)
    real = kept.store.reader.read

    def read(position: int, offset: int, size: int) -> bytes:
        if position == 1:
            raise JournalError("the disk does not read it")
        return real(position, offset, size)

    kept.store.reader.read = read
    with pytest.raises(StorageError):
        kept.label(["imp-5", "imp-51"], [1, 1], 1)
    again = kept.label(["imp-5", "imp-51"], [1, 1], 1)
    assert again.verdicts == ["gone", "joined"]
    (ended,) = kept.end_all(2 * HOUR)
    weighing = ended.batch.weights > 0
    assert np.array(numbers_of(ended))[weighing].tolist() == [N, N + 2]
    assert kept.store.counts["damaged"] == N
    assert kept.store.pending == 0


def test_a_flipped_bit_is_never_learned_from(tmp_path: Path) -> None:
    kept = JournalledImpressions(tmp_path / "model", RULES)
    kept.keep(batch(1), probabilities(1), 5)
    real, flipped = kept.store.reader.read, [0]

    def read(position: int, offset: int, size: int) -> bytes:
        content = bytearray(real(position, offset, size))
        content[flipped[0] // 8] ^= 1 << flipped[0] % 8
        return bytes(content)

    kept.store.reader.read = read
    bits = 8 * len(real(1, 24, 10**6))
    assert bits > 300
    for bit in range(0, bits, 5):
        flipped[0] = bit
        prepared = kept.prepare(*label_one())
        assert prepared.verdicts in (["gone"], ["unknown"]), bit
        kept.store.undo()
    kept.store.reader.read = real
    assert kept.prepare(*label_one()).verdicts == ["joined"]


def label_one() -> tuple[Rows, int]:
    return LabelImpressions(["imp-0"], [1], StreamState()), 6
