"""Whatever fails between a claim and its end: the impressions can be claimed again, and counts are true."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from nonzero_service import impressions
from nonzero_service.impressions.claims import Claim, Claims
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.segment import ImpressionState
from nonzero_service.impressions.store import ImpressionStore
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
    """Whether it is a generator's end, or putting back: what fails twice at once is for a new start."""
    while frame is not None:
        if frame.f_code.co_name in ("<genexpr>", "_put_back", "_undone_at_an_error"):
            return True
        frame = frame.f_back
    return False


def made(directory: Path, rules: Rules = RULES) -> ImpressionStore:
    store = ImpressionStore(directory, rules)
    store.keep(batch(N), probabilities(N), 0)
    return store


def expire(store: ImpressionStore) -> Claim | None:
    return Claims(store).expire(99, 2 * HOUR)


def label(store: ImpressionStore) -> Claim | None:
    return Claims(store).claim([f"imp-{j}" for j in range(N)], [j % 2 for j in range(N)], 1)


@pytest.mark.parametrize("what", [expire, label])
def test_an_exception_at_every_call_of_a_claim_leaves_it_to_be_made(
    tmp_path: Path, what: Callable[[ImpressionStore], Claim | None]
) -> None:
    count = seen = 0
    while True:
        count += 1
        store = made(tmp_path / str(count))
        try:
            with raising_at(count) as calls:
                what(store)
        except InjectedError:
            seen += 1
        else:
            store.close()
            if calls[0] < count:
                break
            continue  # numpy passes over what is raised in some of its calls
        counts = dict(store.counts)
        assert store.pending == N, count
        assert {name: counts.get(name, 0) for name in ("expired", "joined", "ended")} == {
            "expired": 0,
            "joined": 0,
            "ended": 0,
        }
        claim = what(store)
        assert claim is not None, count
        assert len(claim.references) == len(claim.batch) == N, count
        Claims(store).settle(claim.references)
        assert store.pending == 0
        assert store.counts["expired"] + store.counts["joined"] == N
        store.close()
    assert seen > 30


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: int, times: int = 10**9) -> list[int]:
    """Let a call to the system fail so many times."""
    real, failed = getattr(os, name), [0]

    def failing(*arguments: Any) -> Any:
        if failed[0] < times:
            failed[0] += 1
            raise OSError(error, os.strerror(error))
        return real(*arguments)

    monkeypatch.setattr(os, name, failing)
    return failed


@pytest.mark.parametrize("what", [expire, label])
def test_a_read_error_that_passes_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Callable[[ImpressionStore], Claim | None]
) -> None:
    store = made(tmp_path / "impressions")
    refuse(monkeypatch, "pread", errno.EIO, 1 + N)
    with pytest.raises(OSError, match="Input/output"):
        what(store)
    assert store.pending == N
    claim = what(store)
    assert claim is not None
    assert len(claim.references) == N
    assert store.counts["damaged"] == 0


def test_a_record_that_cannot_be_read_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path / "impressions")
    real, start = os.pread, int(store.segments[0]._ends[4]) * 4

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if offset <= start < offset + size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(OSError, match="Input/output"):
        Claims(store).claim(["imp-5"], [1], 1)
    again = Claims(store).claim(["imp-5"], [1], 1)
    assert again is not None
    assert again.verdicts == ["gone"]
    ended = expire(store)
    assert ended is not None
    assert sorted(ended.references.numbers.tolist()) == [j for j in range(N) if j != 5]
    assert store.counts["damaged"] == 1
    Claims(store).settle(ended.references)
    assert store.pending == 0


def test_what_the_disk_does_not_take_is_settled_and_written_before_rows_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path / "impressions")
    claim = label(store)
    assert claim is not None
    with monkeypatch.context() as patch:
        refuse(patch, "pwrite", errno.EIO)
        Claims(store).settle(claim.references)
        assert store.pending == 0
        with pytest.raises(OSError, match="Input/output"):
            store.sync_states()
    store.sync_states()
    store.close()
    again = ImpressionStore(tmp_path / "impressions", RULES)
    assert again.pending == 0
    found = label(again)
    assert found is not None
    assert set(found.verdicts) == {"duplicate"}


def test_a_label_given_back_after_its_windows_end_is_not_forgotten(tmp_path: Path) -> None:
    store = made(tmp_path / "impressions")
    claim = Claims(store).claim(["imp-3"], [1], 1)
    assert claim is not None
    ended = expire(store)
    assert ended is not None
    assert len(ended.references) == N - 1
    Claims(store).settle(ended.references)
    Claims(store).give_back(claim)
    last = expire(store)
    assert last is not None
    assert last.references.numbers.tolist() == [3]


def test_a_file_cut_short_is_damaged_records_and_no_more(tmp_path: Path) -> None:
    store = made(tmp_path / "impressions")
    path = next((tmp_path / "impressions").glob("*.rows"))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    ended = expire(store)
    assert ended is not None
    damaged = ended.batch.weights == 0
    assert 0 < damaged.sum() == store.counts["damaged"] < N
    assert (np.diff(ended.batch.indptr)[damaged] == 0).all()


def test_a_discarded_negative_is_not_taken_back(tmp_path: Path) -> None:
    store = made(tmp_path / "impressions")
    ended = expire(store)
    assert ended is not None
    Claims(store).settle(ended.references)
    held = ended.references.rows(0, 6)
    first = Claims(store).claim(["imp-0"], [1], HOUR + 1)
    assert first is not None
    Claims(store).settle(first.references)
    for _ in range(2):  # once as it happens, once more by a start
        Claims(store).discarded(held)
        store.close()
        store = ImpressionStore(tmp_path / "impressions", RULES)
    late = Claims(store).claim(["imp-0", "imp-1", "imp-7"], [1, 1, 1], HOUR + 2)
    assert late is not None
    assert late.verdicts == ["duplicate", "corrected", "corrected"]
    given, p = batch(N), probabilities(N).astype(np.float64)
    np.testing.assert_allclose(
        late.batch.weights, [given.weights[1], given.weights[7] / (1 - p[7])], rtol=1e-6
    )
    assert late.before.tolist() == [ImpressionState.THINNED, ImpressionState.EXPIRED]
