"""Impressions are found, claimed once, expire in order, and are what they were after a crash."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.impressions import segment
from nonzero_service.impressions import store as impressions
from nonzero_service.impressions.claims import Claims
from nonzero_service.impressions.rules import COLD, Rules
from nonzero_service.impressions.store import ImpressionStore

HOUR = 3_600_000
RULES = Rules(attribution_ms=HOUR, correction_ms=HOUR)


def batch(n: int, first: int = 0, values: bool = True, fields: bool = True) -> Batch:
    """Make `n` rows of differing length, with ids."""
    rng = np.random.default_rng([n, first])
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 9, n))])
    nnz = int(indptr[-1])
    return Batch(
        indptr,
        rng.integers(0, 2**31, nnz),
        rng.normal(size=nnz) if values else None,
        None,
        rng.uniform(0.5, 2, n),
        rng.integers(1, 2**16, nnz) if fields else None,
        [f"imp-{first + j}" for j in range(n)],
    )


def probabilities(n: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.linspace(0.1, 0.8, n, dtype=np.float32)


@pytest.fixture
def store(tmp_path: Path) -> ImpressionStore:
    return ImpressionStore(tmp_path / "impressions", RULES)


def same_rows(found: Batch, expected: Batch) -> None:
    assert found.indptr.tolist() == expected.indptr.tolist()
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.explicit_values().tolist() == expected.explicit_values().tolist()
    if expected.fields is None:
        assert found.fields is None or not found.fields.any()
    else:
        assert found.fields is not None
        assert found.fields.tolist() == expected.fields.tolist()


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("fields", [True, False])
def test_a_label_finds_the_features_of_its_prediction(
    store: ImpressionStore, values: bool, fields: bool
) -> None:
    given = batch(50, 0, values, fields)
    assert store.keep(given, probabilities(50), 1000) == 50
    order = np.random.default_rng(1).permutation(50)
    claim = Claims(store).claim([f"imp-{j}" for j in order], [int(j % 2) for j in order], 2000)
    assert claim is not None
    assert set(claim.verdicts) == {"joined"}
    same_rows(claim.batch, Batch.concatenate([given.rows(int(j), int(j) + 1) for j in order]))
    assert claim.batch.labels.tolist() == [j % 2 for j in order]
    assert claim.batch.weights.tolist() == given.weights[order].tolist()
    assert claim.batch.times is not None
    assert set(claim.batch.times.tolist()) == {1000}


def test_only_what_has_an_id_is_kept_and_an_id_once(store: ImpressionStore) -> None:
    given = batch(3)
    object.__setattr__(given, "ids", ["a", None, "a"])
    assert store.keep(given, probabilities(3), 0) == 1
    assert store.keep(given, probabilities(3), 0) == 0
    assert store.pending == 1
    claim = Claims(store).claim(["a"], [1], 0)
    assert claim is not None
    same_rows(claim.batch, given.rows(0, 1))


def test_a_label_that_came_before_its_impression_is_counted_once(store: ImpressionStore) -> None:
    claim = Claims(store).claim(["imp-0", "imp-0", "other"], [1, 1, 1], 0)
    assert claim is not None
    assert set(claim.verdicts) == {"unknown"}
    given = batch(3)
    object.__setattr__(given, "ids", ["imp-0", "imp-0", "imp-1"])
    assert store.keep(given, probabilities(3), 1) == 2
    store.keep(batch(3), probabilities(3), 1)
    assert store.counts["early"] == 1


def test_what_a_label_meets(store: ImpressionStore) -> None:
    store.keep(batch(4), probabilities(4), 0)
    names = ["imp-0", "imp-0", "imp-1", "imp-1", "other"]
    claim = Claims(store).claim(names, [1, 1, 0, 1, 1], 1)
    assert claim is not None
    assert claim.verdicts == ["joined", "duplicate", "joined", "conflicting", "unknown"]
    assert Claims(store).claim(["imp-0"], [1], 1) is None, "it is in flight"
    Claims(store).settle(claim.references)
    again = Claims(store).claim(names, [1, 0, 0, 1, 1], 1)
    assert again is not None
    assert again.verdicts == ["duplicate", "conflicting", "duplicate", "conflicting", "unknown"]
    assert len(again.references) == len(again.batch) == 0


def test_a_claim_that_is_given_back_can_be_made_again(store: ImpressionStore) -> None:
    store.keep(batch(2), probabilities(2), 0)
    claim = Claims(store).claim(["imp-0"], [1], 1)
    assert claim is not None
    assert store.pending == 1
    Claims(store).give_back(claim)
    assert store.pending == 2
    again = Claims(store).claim(["imp-0"], [0], 1)
    assert again is not None
    assert again.verdicts == ["joined"]


def test_windows_end_in_order_and_once(store: ImpressionStore) -> None:
    for step in range(10):
        store.keep(batch(7, 7 * step), probabilities(7), step)
    claim = Claims(store).claim(["imp-3", "imp-40"], [1, 0], 5)
    assert claim is not None
    Claims(store).settle(claim.references)
    assert Claims(store).expire(5, HOUR - 1) is None
    numbers: list[int] = []
    while (expired := Claims(store).expire(5, HOUR + 6)) is not None:
        assert (expired.batch.labels == 0).all()
        numbers += expired.references.numbers.tolist()
        Claims(store).settle(expired.references)
    assert numbers == [j for j in range(49) if j not in (3, 40)]
    assert store.pending == 21


def test_a_late_click_takes_the_negative_back(store: ImpressionStore) -> None:
    store.keep(batch(3), probabilities(3), 0)
    expired = Claims(store).expire(9, HOUR)
    assert expired is not None
    Claims(store).settle(expired.references)
    claim = Claims(store).claim(["imp-1", "imp-2", "imp-2"], [1, 0, 1], 2 * HOUR)
    assert claim is not None
    assert claim.verdicts == ["corrected", "duplicate", "corrected"]
    weights, p = batch(3).weights[1:], probabilities(3)[1:].astype(np.float64)
    np.testing.assert_allclose(claim.batch.weights, weights / (1 - p), rtol=1e-6)
    Claims(store).settle(claim.references)
    late = Claims(store).claim(["imp-0", "imp-1"], [1, 1], 2 * HOUR + 1)
    assert late is not None
    assert late.verdicts == ["gone", "duplicate"]


def test_a_start_finds_what_there_was(store: ImpressionStore, tmp_path: Path) -> None:
    store.keep(batch(30), probabilities(30), 5)
    claim = Claims(store).claim(["imp-4", "imp-5"], [1, 0], 6)
    lost = Claims(store).claim(["imp-6"], [1], 6)
    assert claim is not None
    assert lost is not None
    Claims(store).settle(claim.references)
    store.close()
    again = ImpressionStore(tmp_path / "impressions", RULES)
    assert again.pending == 28
    again.seen(lost.references)  # its row was in the journal, its state not in the file
    assert again.pending == 27
    found = Claims(again).claim(["imp-4", "imp-5", "imp-6", "imp-7"], [1, 1, 1, 1], 7)
    assert found is not None
    assert found.verdicts == ["duplicate", "conflicting", "duplicate", "joined"]
    same_rows(found.batch, batch(30).rows(7, 8))
    again.keep(batch(2, 100), probabilities(2), 8)
    assert again.pending == 28


def test_a_record_cut_short_is_left_out_and_its_number_not_confused(
    store: ImpressionStore, tmp_path: Path
) -> None:
    store.keep(batch(20), probabilities(20), 5)
    lost = Claims(store).claim(["imp-19"], [1], 6)
    assert lost is not None
    store.close()
    path = next((tmp_path / "impressions").glob("*.rows"))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4)
    again = ImpressionStore(tmp_path / "impressions", RULES)
    assert again.pending == 19
    again.seen(lost.references)
    again.keep(batch(1, 50), probabilities(1), 7)
    assert again.pending == 20
    found = Claims(again).claim(["imp-19", "imp-50"], [1, 1], 8)
    assert found is not None
    assert found.verdicts == ["unknown", "joined"]
    assert found.references.numbers.tolist() == [20]


def test_a_flipped_bit_is_never_learned_from(store: ImpressionStore, tmp_path: Path) -> None:
    given = batch(1)
    store.keep(given, probabilities(1), 5)
    store.close()
    path = next((tmp_path / "impressions").glob("*.rows"))
    content = bytearray(path.read_bytes())
    for bit in range(64, 8 * len(content), 13):
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        again = ImpressionStore(tmp_path / "impressions", RULES)
        claim = Claims(again).claim(["imp-0"], [1], 6)
        assert claim is not None
        assert claim.verdicts in (["gone"], ["unknown"])
        again.close()
        path.with_suffix(".states").write_bytes(b"\0")
        content[bit // 8] ^= 1 << bit % 8


def test_thinning_is_by_id_and_keeps_the_sum_of_weights(tmp_path: Path) -> None:
    given = batch(COLD + 20_000)
    other = batch(COLD, 10**6)
    kept: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for place, parts in (("a", [given]), ("b", [other, given.rows(COLD, len(given))])):
        store = ImpressionStore(tmp_path / place, Rules(HOUR, HOUR, 0.1))
        for part in parts:
            store.keep(part, probabilities(len(part)), 0)
        numbers, weights = [], []
        while (expired := Claims(store).expire(1000, HOUR)) is not None:
            numbers.append(expired.references.numbers)
            weights.append(expired.batch.weights)
            Claims(store).settle(expired.references)
        assert store.pending == 0
        number, weight = np.concatenate(numbers), np.concatenate(weights)
        cold = number < COLD
        assert number[cold].tolist() == list(range(COLD)), "who knows nothing learns from all"
        assert weight[cold].tolist() == parts[0].weights[:COLD].tolist()
        assert weight[~cold].sum() == pytest.approx(given.weights[COLD:].sum(), rel=0.08)
        kept.append(number[~cold])
    assert kept[0].tolist() == kept[1].tolist()


def test_a_late_click_takes_back_the_weight_that_its_negative_had(tmp_path: Path) -> None:
    store = ImpressionStore(tmp_path / "impressions", Rules(HOUR, HOUR, 0.1))
    store.keep(batch(COLD), probabilities(COLD), 0)
    given, p = batch(400, COLD), np.full(400, 0.2, np.float32)
    store.keep(given, p, 0)
    learned: set[int] = set()
    while (expired := Claims(store).expire(5000, HOUR)) is not None:
        learned.update(expired.references.numbers.tolist())
        Claims(store).settle(expired.references)
    claim = Claims(store).claim(["imp-0", *(f"imp-{COLD + j}" for j in range(400))], [1] * 401, HOUR)
    assert claim is not None
    assert set(claim.verdicts) == {"corrected"}
    was = np.array([number in learned for number in range(COLD, COLD + 400)])
    assert 10 < was.sum() < 90
    factors = claim.batch.weights / np.concatenate([batch(COLD).weights[:1], given.weights])
    assert factors[0] == pytest.approx(1 / (1 - 0.1), rel=1e-5)
    np.testing.assert_allclose(factors[1:], np.where(was, 1 + 10 * 0.2 / 0.8, 1), rtol=1e-5)


def test_full_segments_and_pieces_of_a_file_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "CAPACITY", 64)
    monkeypatch.setattr(segment, "PIECE", 200)
    store = ImpressionStore(tmp_path / "impressions", RULES)
    given = batch(500)
    for start, stop in ((0, 10), (0, 300), (290, 500)):
        store.keep(given.rows(start, stop), probabilities(500)[start:stop], 1000)
    assert store.pending == 500
    assert len(list((tmp_path / "impressions").glob("*.rows"))) == 8
    store.close()
    again = ImpressionStore(tmp_path / "impressions", RULES)
    assert again.keep(given, probabilities(500), 2000) == 0
    order = np.random.default_rng(1).permutation(500)
    claim = Claims(again).claim([f"imp-{j}" for j in order], [1] * 500, 3000)
    assert claim is not None
    assert set(claim.verdicts) == {"joined"}
    assert claim.references.numbers.tolist() == order.tolist()
    same_rows(claim.batch, Batch.concatenate([given.rows(int(j), int(j) + 1) for j in order]))


def test_segments_that_are_of_no_more_use_go(store: ImpressionStore, tmp_path: Path) -> None:
    store.keep(batch(5), probabilities(5), 0)
    store.keep(batch(5, 5), probabilities(5), 2 * HOUR)
    expired = Claims(store).expire(9, 4 * HOUR)
    while expired is not None:
        Claims(store).settle(expired.references)
        expired = Claims(store).expire(9, 4 * HOUR)
    assert store.forget(3 * HOUR) == 0
    assert store.forget(3 * HOUR + 1) == 1
    assert len(list((tmp_path / "impressions").glob("*.rows"))) == 1
    claim = Claims(store).claim(["imp-0", "imp-7"], [1, 1], 4 * HOUR)
    assert claim is not None
    assert claim.verdicts == ["unknown", "corrected"]


class ForgetfulDisk:
    """What a power cut leaves of a directory whose every unsynced byte and name it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.contents: dict[str, bytes] = {}
        self.names: set[str] = set()
        monkeypatch.setattr(os, "fdatasync", self.sync)
        monkeypatch.setattr(impressions, "sync_directory", self.sync_names)

    def sync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.contents[path.name] = path.read_bytes()

    def sync_names(self, directory: Path) -> None:
        self.names = {path.name for path in directory.iterdir()}

    def left(self, directory: Path) -> Path:
        directory.mkdir()
        for name in self.names:
            (directory / name).write_bytes(self.contents.get(name, b""))
        return directory


def test_what_was_synced_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "CAPACITY", 64)
    disk = ForgetfulDisk(monkeypatch)
    store = ImpressionStore(tmp_path / "impressions", RULES)
    given = batch(400)
    for cut, stop in enumerate(range(25, 401, 25)):
        store.keep(given.rows(stop - 25, stop), probabilities(25), stop)
        if cut % 2:
            store.sync_rows()
            after = ImpressionStore(disk.left(tmp_path / f"after {cut}"), RULES)
            claim = Claims(after).claim([f"imp-{j}" for j in range(stop)], [1] * stop, stop)
            assert claim is not None
            assert set(claim.verdicts) == {"joined"}
            after.close()


def test_a_segment_of_which_nothing_came_is_begun_anew(tmp_path: Path) -> None:
    place = tmp_path / "impressions"
    place.mkdir()
    (place / f"{0:020}.rows").write_bytes(b"torn" * 9)
    (place / f"{0:020}.states").write_bytes(b"\x33" * 9)
    store = ImpressionStore(place, RULES)
    store.keep(batch(5), probabilities(5), 0)
    store.forget(9 * HOUR)
    store.close()
    again = ImpressionStore(place, RULES)
    claim = Claims(again).claim([f"imp-{j}" for j in range(5)], [1] * 5, 1)
    assert claim is not None
    assert set(claim.verdicts) == {"joined"}
