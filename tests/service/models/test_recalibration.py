"""Recalibration is begun by a row of the journal, learned in shadow, and used where that is asked for."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero import AdaGrad, LogisticRegression
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.writer.fold import apply

Start = Callable[..., Any]
PATH = "/v1/models/default"
SETTINGS = {"bits": 10, "learning_rate": 3.0, "journal_retention": "all", "breaker": "off"}


def examples(n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows = zip(rng.integers(0, 400, n).tolist(), (rng.random(n) < 0.3).tolist(), strict=True)
    return {"examples": [{"features": {"site": f"s{site}"}, "label": int(click)} for site, click in rows]}


def test_a_map_is_begun_learned_in_shadow_and_used(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "data" / "models" / "default"
    one = {"features": {"site": "s1"}}

    def answered(client: Any) -> float:
        return float(client.post(f"{PATH}/predict", json=one).json()["predictions"][0]["probability"])

    running = start(**SETTINGS).until_ready()
    with running.client() as client:
        client.post(f"{PATH}/update", json=examples(500, 1))
        assert client.get(f"{PATH}/metrics").json()["recalibration"] is None
    running.stop(signal.SIGKILL)
    running = start(**SETTINGS, recalibration="shadow").until_ready()
    with running.client() as client:
        client.post(f"{PATH}/update", json=examples(3000, 2))
        client.post(f"{PATH}/snapshots")
        client.post(f"{PATH}/update", json=examples(500, 3))
        told = client.get(f"{PATH}/metrics").json()["recalibration"]
        assert told["examples"] == 3500
        assert told["gain_low"] > 0
        assert "nonzero_model_recalibration_gain_low" in client.get("/metrics").text
        shadowed = answered(client)
    running.stop(signal.SIGKILL)
    running = start(**SETTINGS, recalibration="on", workers=2).until_ready()
    with running.client() as client:
        assert client.get(f"{PATH}/metrics").json()["recalibration"] == told
        log_odds = np.log(shadowed / (1 - shadowed))
        expected = 1 / (1 + np.exp(-(told["slope"] * log_odds + told["offset"])))
        for _ in range(8):  # whichever process answers
            with running.client() as another:
                assert answered(another) == pytest.approx(expected, rel=1e-5)
        client.post(f"{PATH}/update", json=examples(100, 4))
    assert running.stop() == 0
    model = LogisticRegression(10, AdaGrad(3.0))
    with JournalReader(directory) as reader:
        kinds = []
        for row in reader.read():
            kinds.append(row.kind)
            apply(model, row, reader.read)
    assert kinds.count("recalibration") == 1
    [newest, *_] = SnapshotFolder(directory / "snapshots").all()
    assert LogisticRegression.load(newest.path).digest() == model.digest()
