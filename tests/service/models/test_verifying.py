"""verify, refold and inspect read what is kept of a model, beside a service or without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import nonzero
from nonzero import AdaGrad, Batch, LogisticRegression, SnapshotError
from nonzero_service.journal.errors import BodyError, PrunedError
from nonzero_service.models.checked import Checked
from nonzero_service.models.data_directory import models_in
from nonzero_service.models.inspecting import inspect_model
from nonzero_service.models.rebuilding import rebuild
from nonzero_service.models.verifying import verify
from service.uninterrupted import History, batch, flip, silent

Start = Callable[..., Any]


def told(what: str, done: int, end: int) -> None:
    assert what
    assert done <= end


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Two snapshots, and rows before, between and after them."""
    made = History(tmp_path)
    made.learn(3)
    made.snapshot()
    made.learn(3)
    made.snapshot()
    made.learn(2)
    return made


def checked(history: History) -> Checked:
    before = {path: path.read_bytes() for path in history.directory.rglob("*") if path.is_file()}
    found = verify(history.directory, told)
    for path, content in before.items():
        if not path.name.endswith("-shm"):
            assert path.read_bytes() == content
    return found


def test_a_whole_journal_is_folded_from_nothing(history: History) -> None:
    found = checked(history)
    assert found.faults == []
    assert (found.folded_from, found.identical) == (0, [4, 7])
    assert found.digest == history.model.digest()


def test_a_pruned_journal_is_folded_from_the_oldest_snapshot(history: History) -> None:
    history.prune()
    found = checked(history)
    assert found.faults == []
    assert (found.folded_from, found.identical) == (4, [7])
    assert found.digest == history.model.digest()


def test_a_trained_file_is_where_its_fold_begins(tmp_path: Path) -> None:
    trained = LogisticRegression(10, AdaGrad(0.3))
    trained.learn(batch(99))
    history = History(tmp_path, trained)
    history.snapshot()
    history.learn(2)
    history.snapshot()
    found = checked(history)
    assert (found.faults, found.folded_from, found.identical) == ([], 1, [3])


def test_a_snapshot_that_is_another_model_is_named(history: History) -> None:
    """It has a digest of its own, and the right position: only the fold tells."""
    path = history.directory / "snapshots" / f"{7:020d}.safetensors"
    model = LogisticRegression.load(path)
    model.table.rows[77, 0] += 1
    model.save(path)
    found = checked(history)
    assert len(found.faults) == 1
    assert "slot 77 first" in found.faults[0]
    assert str(path) in found.faults[0]


def test_a_damaged_snapshot_is_named_and_stays(history: History) -> None:
    path = history.directory / "snapshots" / f"{7:020d}.safetensors"
    flip(path)
    found = checked(history)
    assert len(found.faults) == 1
    assert str(path) in found.faults[0]
    assert found.identical == [4]


def test_a_damaged_row_is_named(history: History) -> None:
    path = history.directory / "journal.sqlite"
    content = bytearray(path.read_bytes())
    at = content.find(batch(5).indices.astype("<u4").tobytes())
    assert at > 0
    content[at] ^= 1
    path.write_bytes(content)
    found = checked(history)
    assert len(found.faults) == 1
    assert "position 6" in found.faults[0]


def test_refolding_gives_what_learning_into_that_table_gives(history: History) -> None:
    other = LogisticRegression(14, AdaGrad(0.1))
    for seed in range(1, 9):
        other.learn(batch(seed))
    assert rebuild(history.directory, 14, silent).digest() == other.digest()
    assert rebuild(history.directory, 10, silent).digest() == history.model.digest()


def test_refolding_into_a_table_without_the_slots_that_were_given_is_refused(history: History) -> None:
    with pytest.raises(BodyError, match="position 2"):
        rebuild(history.directory, 4, silent)


def test_refolding_pruned_rows_names_the_first_that_is_held(history: History) -> None:
    history.prune()
    with pytest.raises(PrunedError, match="position 5 only"):
        rebuild(history.directory, 12, silent)


def test_refolding_after_a_trained_file_is_refused(tmp_path: Path) -> None:
    trained = LogisticRegression(10, AdaGrad(0.3))
    trained.learn(Batch([0, 1], [3], labels=[1]))
    with pytest.raises(SnapshotError, match="trained file of 1 examples"):
        rebuild(History(tmp_path, trained).directory, 12, silent)


def test_what_is_held(history: History) -> None:
    held = inspect_model(history.directory)
    assert (held.first, held.last, held.sequence, held.snapshots) == (1, 9, 320, [7, 4])
    assert held.model is not None
    assert held.settings == held.model.settings == history.model.settings
    assert (held.paused, held.pending) == (None, 0)
    history.prune()
    flip(history.directory / "snapshots" / f"{7:020d}.safetensors")
    held = inspect_model(history.directory)
    assert (held.first, held.settings) == (5, None)
    assert held.model is not None
    assert held.model.examples == 120


def test_a_directory_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="no data directory"):
        models_in(tmp_path)


def test_the_commands_beside_a_running_service_and_after_it(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    running = start(bits=10, journal_retention="all").until_ready()
    with running.client() as client:
        for j in range(6):
            rows = [{"features": {"site": f"s{(i * j) % 7}"}, "label": i % 2} for i in range(50)]
            client.post("/v1/models/default/update", json={"examples": rows})
            client.post("/v1/models/default/snapshots")
        beside = nonzero("verify", data, "--json")
        assert beside.returncode == 0, beside.stderr + beside.stdout
        assert json.loads(beside.stdout)["default"]["sequence"] == 300
        assert json.loads(beside.stdout)["default"]["identical"] == [6, 7]
        inspected = json.loads(nonzero("inspect", data, "--json").stdout)["default"]
        assert (inspected["sequence"], inspected["model"]["examples"]) == (300, 300)
        refolded = nonzero("refold", data, "--bits", "12", "--output", tmp_path / "larger")
        assert refolded.returncode == 0, refolded.stderr
        assert client.get("/v1/models/default").json()["sequence"] == 300
    assert running.stop() == 0
    model = LogisticRegression.load(tmp_path / "larger")
    assert (model.bits, model.examples) == (12, 300)
    assert "default: sound" in nonzero("verify", data).stdout
    assert "snapshots at: 7, 6" in nonzero("inspect", data).stdout

    newest = data / "models/default/snapshots" / f"{7:020d}.safetensors"
    flip(newest)
    damaged = nonzero("verify", data)
    assert damaged.returncode == 1
    assert "default: DAMAGED" in damaged.stdout
    assert newest.exists()
