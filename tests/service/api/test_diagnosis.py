"""Diagnosis and remedy over HTTP: the library's verdict, by name, and a remedy that is journalled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from nonzero import LogisticRegression
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.writer.fold import apply
from service.tastes import tastes

Start = Callable[..., Any]
PATH = "/v1/models/default"


def learn(client: httpx.Client, body: bytes) -> None:
    answer = client.post(f"{PATH}/update", content=body, headers={"content-type": "text/x-vw"})
    assert answer.status_code == 200


def test_fields_are_named_and_one_lane_cannot_know(client: httpx.Client, model: str) -> None:
    client.post(f"{model}/update", json={"features": {"site": "news"}, "label": 1})
    found = client.get(f"{model}/diagnosis").json()
    assert found["verdict"] == "unknown"
    assert found["remedy"]["setting"] == {"learning_rate": "auto"}
    assert client.post(f"{model}/remedy").status_code == 409
    assert client.get("/v1/models/nobody/diagnosis").status_code == 404


def test_a_starved_model_is_mended_and_recovers_to_the_same_bits(start: Start, tmp_path: Path) -> None:
    """After a long stream taste turns; the shrinking lanes are choked, and a journalled remedy frees them."""
    running = start(bits=8, journal_retention="all", breaker="off").until_ready()
    with running.client() as client:
        learn(client, tastes(200_000, seed=1))
        assert set(client.get(f"{PATH}/diagnosis").json()["fields"]) == {"site", "hour"}
        learn(client, tastes(8_000, seed=2, turned=True))
        found = client.get(f"{PATH}/diagnosis").json()
        assert found["verdict"] == "starved", found
        shown = client.post(f"{PATH}/remedy?dry_run=true").json()
        assert not shown["applied"]
        assert client.get(f"{PATH}/diagnosis").json() == found
        done = client.post(f"{PATH}/remedy").json()
        assert done == shown | {"applied": True}
        assert all(lane["rate_after"] > lane["rate_before"] for lane in done["lanes"])
        learn(client, tastes(1_000, seed=3, turned=True))
        predicted = client.post(f"{PATH}/predict", json={"features": {"site": "news"}}).json()
    running.kill()
    with start(tmp_path / "data", bits=8).until_ready().client() as client:
        assert client.post(f"{PATH}/predict", json={"features": {"site": "news"}}).json() == predicted
    folded = LogisticRegression(8)
    with JournalReader(tmp_path / "data" / "models" / "default") as reader:
        kinds = []
        for row in reader.read():
            apply(folded, row)
            kinds.append(row.kind)
    assert kinds.count("remedy") == 1
    assert folded.examples == 209_000
