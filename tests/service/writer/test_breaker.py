"""The circuit breaker: it pauses learning at a jump, and what comes of the pause is what was asked for."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import nonzero
from core.scenarios import Stream
from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.rules import Rules
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.inspecting import inspect_model
from nonzero_service.writer.breaker import Bounds, Breaker
from nonzero_service.writer.fold import apply
from real_data import unpacked
from service.series import series

Start = Callable[..., Any]
PATH = "/v1/models/default"
NDJSON = {"content-type": "application/x-ndjson"}


def stream(n: int, rate: float = 0.1, seed: int = 1) -> Batch:
    """Make clicks that depend on one of three features."""
    rng = np.random.default_rng(seed)
    indices = np.stack([rng.integers(0, 50, n), 50 + rng.integers(0, 200, n), 300 + rng.integers(0, 9, n)], 1)
    p = rate * (0.5 + indices[:, 0] / 50)
    return Batch(np.arange(n + 1) * 3, indices.ravel(), labels=rng.random(n) < p)


def admitted(model: LogisticRegression, batch: Batch, size: int) -> tuple[int, dict[str, Any] | None]:
    """Learn what a breaker admits, in batches of `size`; return how many, and why no more."""
    breaker = Breaker(model, Bounds())
    for start in range(0, len(batch), size):
        part = batch.rows(start, min(start + size, len(batch)))
        count, reason = breaker.admit(part)
        model.learn(part.rows(0, count))
        if reason is not None:
            return start + count, reason
    return len(batch), None


def labelled_all(batch: Batch, label: float) -> Batch:
    return Batch(batch.indptr, batch.indices, labels=np.full(len(batch), label))


def strange(n: int) -> Batch:
    """Make examples whose features are of another kind."""
    rng = np.random.default_rng(7)
    return Batch(np.arange(n + 1) * 3, rng.integers(1000, 2**16, 3 * n), labels=rng.random(n) < 0.1)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("size", [1, 97, 4000])
@pytest.mark.parametrize(
    ("jump", "figure"),
    [
        (labelled_all(stream(3000, seed=2), 1), "click_rate"),
        (stream(3000, 0.6, seed=2), "click_rate"),
        (strange(3000), "unseen_features"),
    ],
    ids=["all ones", "a higher rate", "unseen"],
)
def test_a_jump_is_noticed_within_2000_examples(jump: Batch, figure: str, size: int) -> None:
    calm = stream(15_000)
    count, reason = admitted(LogisticRegression(16, AdaGrad(0.1)), Batch.concatenate([calm, jump]), size)
    assert reason is not None
    assert reason["figure"] == figure
    assert 15_000 < count <= 17_000


@pytest.mark.parametrize("every", [2, 10])
def test_a_jump_is_noticed_though_impressions_are_among_it(every: int) -> None:
    """An update whose id was predicted is an impression among other examples: these are watched as ever."""
    impressions = ImpressionStore(Rules(), lambda *_: b"")
    model = LogisticRegression(16, AdaGrad(0.1))
    breaker = Breaker(model, Bounds(), impressions)

    def admit(batch: Batch) -> int:
        labels = batch.labels
        numbers = np.where(np.arange(len(batch)) % every == 0, np.arange(len(batch)), -1)
        states = np.where(labels == 1, ImpressionState.CLICKED, ImpressionState.NEGATIVE)
        states = np.where(numbers < 0, ImpressionState.PENDING, states).astype(np.uint8)
        references = References(numbers, numbers.astype(np.uint64), states)
        for start in range(0, len(batch), 97):
            stop = min(start + 97, len(batch))
            count, reason = breaker.admit(batch.rows(start, stop), references.rows(start, stop))
            model.learn(batch.rows(start, start + count))
            if reason is not None:
                assert reason["figure"] == "click_rate"
                return start + count
        return len(batch)

    assert admit(stream(12_000 * every // (every - 1))) == 12_000 * every // (every - 1)
    assert admit(labelled_all(stream(6000, seed=2), 1)) <= 2000 * every // (every - 1) + 97


def test_labels_that_turn_round_are_noticed_by_the_loss() -> None:
    def sharp(n: int, turned: bool, seed: int) -> Batch:
        rng = np.random.default_rng(seed)
        which = rng.integers(0, 2, n)
        labels = (rng.random(n) < np.where(which == 1, 0.97, 0.03)) ^ turned
        return Batch(np.arange(n + 1), which, labels=labels)

    both = Batch.concatenate([sharp(15_000, False, 1), sharp(3000, True, 2)])
    count, reason = admitted(LogisticRegression(12, AdaGrad(0.1)), both, 500)
    assert reason is not None
    assert reason["figure"] == "log_loss"
    assert 15_000 < count <= 17_000


@pytest.mark.parametrize("spread", [0.35, 0.5])
def test_a_turn_of_every_taste_is_learned_and_does_not_trip_it(spread: float) -> None:
    for seed in range(2):
        tastes = Stream([seed, 11], spread=spread)
        before = tastes.batch(40_000)
        tastes.change()
        both = Batch.concatenate([before, tastes.batch(10_000)])
        assert admitted(LogisticRegression(12), both, 4000) == (50_000, None)


@pytest.mark.parametrize("rate", [0.0002, 0.002, 0.02, 0.3])
def test_chance_does_not_trip_it(rate: float) -> None:
    model = LogisticRegression(12, AdaGrad(0.1))
    assert admitted(model, stream(200_000, rate), 4000)[1] is None


def test_a_real_click_log_does_not_trip_it() -> None:
    batch = formats.parse(unpacked("criteo_attribution.csv.gz"), "csv", label="click", ignore=["index"])
    assert admitted(LogisticRegression(18), batch, 4000)[1] is None


@pytest.mark.parametrize(
    ("jump", "figure"),
    [("ones", "click_rate"), ("turned", "click_rate"), ("new", "unseen_features"), ("calm", None)],
)
def test_a_real_log_trips_it_where_it_is_spoilt_and_not_before(jump: str, figure: str | None) -> None:
    batch = formats.parse(unpacked("a9a.svm.gz"), "libsvm")
    calm, rest = batch.rows(0, 29_000), batch.rows(29_000, len(batch))
    labels = {"ones": np.ones_like(rest.labels), "turned": 1 - rest.labels}.get(jump, rest.labels)
    spoilt = Batch(rest.indptr, rest.indices + np.uint32(500 * (jump == "new")), labels=labels)
    count, reason = admitted(LogisticRegression(18), Batch.concatenate([calm, spoilt]), 4000)
    assert (reason or {}).get("figure") == figure
    assert count == len(batch) if figure is None else 29_000 < count <= 31_000


# -- served -------------------------------------------------------------------------------------------------


def body(batch: Batch) -> bytes:
    """Write a batch of three indices a row as NDJSON."""
    rows = zip(batch.indices.reshape(-1, 3).tolist(), batch.labels.tolist(), strict=True)
    return b"".join(json.dumps({"indices": i, "label": int(y)}).encode() + b"\n" for i, y in rows)


def folded(directory: Path) -> LogisticRegression:
    """What the journal's rows give."""
    model = LogisticRegression(12, AdaGrad(0.1))
    with JournalReader(directory) as reader:
        for row in reader.read():
            apply(model, row, reader.read)
    return model


@pytest.mark.sampled(1)
@pytest.mark.parametrize("discard", [True, False], ids=["discarded", "applied"])
def test_what_comes_of_a_pause(start: Start, tmp_path: Path, discard: bool) -> None:
    calm, jump, after = stream(12_000), labelled_all(stream(3000, seed=2), 1), stream(500, seed=3)
    directory = tmp_path / "data" / "models" / "default"
    settings = {"journal_retention": "all", "bits": 12, "learning_rate": 0.1, "negatives": "at_end"}
    running = start(**settings, impressions="durable").until_ready()
    with running.client() as client:
        assert client.post(f"{PATH}/resume").status_code == 409
        assert client.post(f"{PATH}/update", content=body(calm), headers=NDJSON).status_code == 200
        answer = client.post(f"{PATH}/update", content=body(jump), headers=NDJSON)
        assert answer.status_code == 202
        accepted, held = answer.json()["accepted"], answer.json()["held"]
        assert accepted <= 2000
        assert accepted + held == 3000
        client.post(f"{PATH}/snapshots")
        client.post(f"{PATH}/predict", json={"indices": [1, 60, 301], "id": "impression"})
        label = {"id": "impression", "label": 1}
        answer = client.post(f"{PATH}/labels", json=label)
        assert answer.status_code == 202
        assert (answer.json()["accepted"], answer.json()["held"]) == (1, 1)
        assert client.post(f"{PATH}/labels", json=label).status_code == 409
        one = client.post(
            f"{PATH}/update", json={"indices": [1, 60, 301], "label": 1}, headers={"idempotency-key": "k"}
        )
        assert one.status_code == 202
        assert (one.json()["accepted"], one.json()["held"], one.json()["sequence"]) == (
            0,
            1,
            12_000 + accepted,
        )
        assert client.get("/readyz").status_code == 200
        assert series(client, "nonzero_learning_paused") == 1
        assert 'figure="click_rate"' in client.get("/metrics").text
        assert client.post(f"{PATH}/predict", json={"indices": [1, 60, 301]}).status_code == 200
        client.post(f"{PATH}/predict", json={"indices": [1, 60, 301], "id": "another"})
    assert any(line.get("event") == "learning is paused" for line in running.log)
    running.stop(signal.SIGKILL)
    kept = inspect_model(directory)
    assert kept.paused is not None
    assert (kept.paused.reason["figure"], kept.paused.examples, kept.pending) == ("click_rate", held + 2, 1)
    shown = nonzero("inspect", tmp_path / "data").stdout
    assert "learning is paused since" in shown
    assert f"{held + 2:,} examples are held" in shown
    assert "wait for their label: 1" in shown

    running = start(**settings).until_ready()
    with running.client() as client:
        again = client.post(
            f"{PATH}/update", json={"indices": [1, 60, 301], "label": 1}, headers={"idempotency-key": "k"}
        )
        assert again.json() == one.json() | {"replayed": 1}
        assert client.post(f"{PATH}/labels", json=label).status_code == 409
        held += 2
        assert series(client, "nonzero_held_examples") == held
        assert 'figure="click_rate"' in client.get("/metrics").text
        resumed = client.post(f"{PATH}/resume", params={"discard": discard}).json()
        assert (resumed["discarded"], resumed["applied"]) == ((held, 0) if discard else (0, held))
        answer = client.post(f"{PATH}/update", content=body(after), headers=NDJSON)
        assert answer.status_code == 200
        applied = 12_000 + accepted + (0 if discard else held) + 500
        assert answer.json()["sequence"] == client.get(PATH).json()["sequence"] == applied
    assert running.stop() == 0
    expected = LogisticRegression(12, AdaGrad(0.1))
    last = Batch([0, 3], [1, 60, 301], labels=[1])
    parts = [calm, jump.rows(0, accepted)] if discard else [calm, jump, last, last]
    for part in [*parts, after]:
        expected.learn(part)
    saved = LogisticRegression.load(SnapshotFolder(directory / "snapshots").all()[0].path)
    assert saved.digest() == folded(directory).digest() == expected.digest()


def test_a_start_folds_a_pause_and_its_end_as_they_were(start: Start, tmp_path: Path) -> None:
    calm, jump = stream(12_000), labelled_all(stream(2500, seed=2), 1)
    directory = tmp_path / "data" / "models" / "default"
    settings = {"bits": 12, "learning_rate": 0.1, "journal_retention": "all"}
    running = start(**settings).until_ready()
    with running.client() as client:
        for part in (calm, jump):
            client.post(f"{PATH}/update", content=body(part), headers=NDJSON)
        assert client.post(f"{PATH}/resume").json()["sequence"] == 14_500
    running.stop(signal.SIGKILL)
    assert start(**settings).until_ready().stop() == 0
    expected = LogisticRegression(12, AdaGrad(0.1))
    expected.learn(Batch.concatenate([calm, jump]))
    saved = LogisticRegression.load(SnapshotFolder(directory / "snapshots").all()[0].path)
    assert saved.digest() == expected.digest()


def test_what_is_held_stays_in_the_journal_behind_snapshots(start: Start) -> None:
    settings = {"bits": 12, "learning_rate": 0.1}
    jump = labelled_all(stream(2500, seed=2), 1)
    running = start(**settings).until_ready()
    with running.client() as client:
        client.post(f"{PATH}/update", content=body(stream(12_000)), headers=NDJSON)
        held = client.post(f"{PATH}/update", content=body(jump), headers=NDJSON).json()["held"]
        for seed in range(3):
            client.post(f"{PATH}/update", content=body(stream(100, seed=seed)), headers=NDJSON)
            client.post(f"{PATH}/snapshots")
    running.stop(signal.SIGKILL)
    with start(**settings).until_ready().client() as client:
        assert client.post(f"{PATH}/resume").json()["applied"] == held + 300
        assert client.get(PATH).json()["sequence"] == 14_800
