"""Snapshots while serving: taken when due, and the journal pruned behind them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.reader import JournalReader
from service.series import series
from waiting import until

Start = Callable[..., Any]
PATH = "/v1/models/default"


def update(client: httpx.Client, n: int, seed: int = 0) -> None:
    rows = [{"features": {"site": f"s{(j + seed) % 9}"}, "label": j % 2} for j in range(n)]
    assert client.post(f"{PATH}/update", json={"examples": rows}).status_code == 200


def has_snapshot(directory: Path, position: int) -> bool:
    return any(snapshot.position == position for snapshot in SnapshotFolder(directory / "snapshots").all())


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "due", [{"snapshot_seconds": 0.5}, {"snapshot_bytes": 1024}], ids=["by time", "by size"]
)
def test_they_are_taken_when_due_and_the_journal_is_pruned(
    clocked: Start, start: Start, tmp_path: Path, due: dict[str, Any]
) -> None:
    directory = tmp_path / "data" / "models" / "default"
    running = clocked(bits=8, **due).until_ready()
    with running.client() as client:
        for seed in range(3):
            update(client, 300, seed)
            until(partial(has_snapshot, directory, 2 + seed))
        with JournalReader(directory) as reader:
            until(lambda: reader.base.position > 1)
            assert reader.base.position <= SnapshotFolder(directory / "snapshots").all()[1].position
        examples = client.get(PATH).json()["sequence"]
    running.kill()
    with start(tmp_path / "data", bits=8).until_ready().client() as client:
        assert client.get(PATH).json()["sequence"] == examples == 900


def test_all_rows_are_kept_where_asked_for(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "data" / "models" / "default"
    running = start(bits=8, journal_retention="all").until_ready()
    with running.client() as client:
        for seed in range(4):
            update(client, 50, seed)
            client.post(f"{PATH}/snapshots")
    assert running.stop() == 0
    snapshots = SnapshotFolder(directory / "snapshots")
    assert len(snapshots.all()) == 2
    before = LogisticRegression.load(snapshots.all()[0].path).digest()
    for snapshot in snapshots.all():
        snapshot.path.unlink()
    again = start(tmp_path / "data", bits=8).until_ready()
    with again.client() as client:
        client.post(f"{PATH}/snapshots")
    assert again.stop() == 0
    assert LogisticRegression.load(snapshots.all()[0].path).digest() == before


def test_a_snapshot_is_all_that_was_acknowledged(client: httpx.Client, model: str, tmp_path: Path) -> None:
    client.post(f"{model}/update", json={"features": {"a": "b"}, "label": 1})
    taken = client.post(f"{model}/snapshots").json()
    assert taken["sequence"] == 1
    assert client.post(f"{model}/snapshots").json() == taken
    (tmp_path / "latest").write_bytes(client.get(f"{model}/snapshots/latest").content)
    assert LogisticRegression.load(tmp_path / "latest").examples == 1


def test_its_age_is_that_of_what_came_since(client: httpx.Client, model: str) -> None:
    metric = f'nonzero_snapshot_age_seconds{{model="{model.rpartition("/")[2]}"}}'
    ages = [series(client, metric)]
    client.post(f"{model}/update", json={"features": {"a": "b"}, "label": 1})
    ages += [until(lambda: series(client, metric)), series(client, metric)]
    assert ages[0] == 0 < ages[1] < ages[2]
    client.post(f"{model}/snapshots").raise_for_status()
    assert series(client, metric) == 0
    client.post(f"{model}/update", json={"features": {"a": "b"}, "label": 1})
    assert 0 < until(lambda: series(client, metric)) < 60


def test_its_age_counts_over_restarts(clocked: Start) -> None:
    """It is asked for where the next one is not due: a start would take it."""
    running = clocked(bits=8).until_ready()
    with running.client() as client:
        update(client, 10)
    running.kill()
    with clocked(86_400, bits=8, snapshot_seconds=1e6).until_ready().client() as client:
        assert series(client, "nonzero_snapshot_age_seconds") == pytest.approx(86_400, abs=100)


def test_a_trained_file_starts_the_default_model(start: Start, tmp_path: Path) -> None:
    trained = LogisticRegression(bits=9)
    trained.learn_one({"a": "b"}, 1)
    trained.save(tmp_path / "trained")
    first = start(import_file=str(tmp_path / "trained")).until_ready()
    with first.client() as client:
        assert client.get(PATH).json()["sequence"] == 1
        update(client, 5)
    first.kill()
    with start(tmp_path / "data", import_file=str(tmp_path / "trained")).until_ready().client() as client:
        assert client.get(PATH).json()["sequence"] == 6


def test_one_that_fails_is_not_tried_again_at_once(clocked: Start, tmp_path: Path) -> None:
    directory = tmp_path / "data" / "models" / "default"
    running = clocked(bits=8, snapshot_bytes=1024).until_ready()
    (directory / "snapshots").rmdir()
    (directory / "snapshots").write_text("in the way")
    with running.client() as client:
        update(client, 300)
        until(lambda: running.lines("no snapshot could be taken"))
        running.until_looked(times=20)  # as often, and by the same event loop
        assert series(client, "nonzero_snapshot_failures_total") == 1
    assert running.stop() == 0
    assert len(running.lines("no snapshot could be taken")) == 1
