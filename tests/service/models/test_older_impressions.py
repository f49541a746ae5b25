"""Impressions that a release before 0.2 kept in files of their own are taken over, and go on as before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.impressions.packing import packed
from nonzero_service.impressions.rows import NO_FIELDS
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models import impression_opening
from nonzero_service.models.inspecting import inspect_model
from nonzero_service.models.verifying import verify
from service.api.test_policies import PATH, SETTINGS, kinds, label, sequence
from service.faults.invariants import silent
from service.impressions.journalled import JournalledImpressions, predicted
from service.impressions.test_store import RULES
from service.series import series
from waiting import until

Start = Callable[..., Any]
N = 10
FIRST = 70


def keep_as_before(directory: Path, time_ms: int) -> None:
    """Write the files that the older release would have left: the first was clicked, the next has expired."""
    batch = Batch(np.arange(N + 1), np.arange(N), ids=[f"{j}" for j in range(N)])
    words = packed(predicted(batch, np.full(N, 0.25, np.float32), time_ms), np.empty(N, np.int64), NO_FIELDS)
    place = directory / "impressions"
    place.mkdir()
    (place / f"{FIRST:020}.rows").write_bytes(words.tobytes() + b"torn")
    states = np.zeros(1000, np.uint8)
    states[:2] = ImpressionState.CLICKED, ImpressionState.EXPIRED
    (place / f"{FIRST:020}.states").write_bytes(states.tobytes())


def make_older(directory: Path) -> None:
    """Let a model's configuration be as the older release wrote it."""
    path = directory / "model.json"
    config = json.loads(path.read_text())
    for key in ("negatives", "attribution_seconds", "correction_seconds"):
        del config[key]
    path.write_text(json.dumps(config))


def test_they_are_taken_over_and_learned_from_the_older_way(clocked: Start, tmp_path: Path) -> None:
    running = clocked(**SETTINGS, attribution_seconds=100).until_ready()
    directory = tmp_path / "data" / "models" / "default"
    running.stop()
    make_older(directory)
    with SqliteJournal(directory) as journal:
        keep_as_before(directory, journal.clock.now_ms())
    assert inspect_model(directory).pending == N - 2
    assert verify(directory, silent).faults == []
    running = clocked(**SETTINGS, attribution_seconds=100).until_ready()
    assert not (directory / "impressions").exists()
    with running.client() as client:
        assert "negatives" not in client.get(PATH).json()["settings"]
        assert series(client, "nonzero_pending_labels") == N - 2
        answer = label(client, {0: 1, 1: 1, 2: 1})
        assert (answer["accepted"], answer["corrected"], answer["rejected"]) == (2, 1, 1)
        assert client.get(f"{PATH}/metrics").json()["weight"] == pytest.approx(1 / 0.75 + 1)
        running.clock.pass_by(500)
        until(lambda: sequence(client) == 2 + N - 3)
    running.kill()
    assert verify(directory, silent).faults == []
    running = clocked(500, **SETTINGS, attribution_seconds=100).until_ready()
    with running.client() as client:
        assert series(client, "nonzero_pending_labels") == 0
        assert label(client, {3: 1, 2: 0})["corrected"] == 1
    assert kinds(directory).count("impression") == 1


def test_a_kill_while_they_are_taken_over_takes_over_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    keep_as_before(directory, 1000)
    monkeypatch.setattr("nonzero_service.impressions.older.PIECE", 30)

    class KilledError(Exception):
        pass

    real, left = SqliteJournal.append, [2]

    def append(journal: SqliteJournal, entries: Any) -> int:
        if not left[0]:
            raise KilledError
        left[0] -= 1
        return real(journal, entries)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "append", append)
        journal = SqliteJournal(directory)
        with pytest.raises(KilledError):
            impression_opening.open_impressions("killed", journal, RULES)
        journal.close()
    assert (directory / "impressions").exists()
    kept = JournalledImpressions(directory, RULES)
    for _ in range(2):
        assert kept.store.pending == N - 2
        assert kept.store.segments.next_number == FIRST + N
        assert kept.store.segments.states(np.arange(FIRST, FIRST + 3)).tolist() == [
            ImpressionState.CLICKED,
            ImpressionState.EXPIRED,
            ImpressionState.PENDING,
        ]
        kept.restart()
    assert not (directory / "impressions").exists()
    assert len(kept.kinds()) - kept.kinds().count("label") < N
