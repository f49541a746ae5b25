"""A served model's schema: every route reads by it, another process too, and a start brings it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero import LogisticRegression, formats
from nonzero_service.learning import fold
from nonzero_service.storage.journal import Journal
from nonzero_service.storage.reader import JournalReader
from service.conftest import ServiceProcess

SAID = {"site": "category", "bid": "number", "request_id": "ignore"}
SAFETENSORS = {"content-type": "application/vnd.safetensors"}
VW = {"content-type": "text/x-vw"}
NDJSON = {"content-type": "application/x-ndjson"}


def put(client: httpx.Client, path: Path, name: str = "said", **settings: Any) -> str:
    """Upload a model of these settings, which has learned nothing; return its path."""
    LogisticRegression(bits=12, **settings).save(path)
    route = f"/v1/models/{name}"
    assert client.put(route, content=path.read_bytes(), headers=SAFETENSORS).status_code == 201
    return route


def probabilities(client: httpx.Client, route: str) -> list[float]:
    """What is predicted for one example, as every body writes it."""
    rows = [
        {"site": 7, "bid": "0.5", "request_id": [1]},
        {"site": "7", "bid": 0.5},
        {"site": 7.0, "bid": 0.5, "request_id": "x"},
    ]
    single = [client.post(f"{route}/predict", json={"features": row}).json() for row in rows]
    listed = client.post(f"{route}/predict", json={"examples": [{"features": row} for row in rows]}).json()
    lines = "\n".join(json.dumps({"features": row}) for row in rows)
    streamed = client.post(f"{route}/predict", content=lines, headers=NDJSON).text.splitlines()
    text = client.post(f"{route}/predict", content="|site 7 |bid 0.5 |request_id x\n", headers=VW).text
    explained = client.post(f"{route}/explain", json={"features": rows[0]}).json()
    assert [(part["feature"], part["value"]) for part in explained["contributions"]] == [
        ("site=7", 1),
        ("bid", 0.5),
    ]
    return [
        *(answer["predictions"][0]["probability"] for answer in (*single,)),
        *(one["probability"] for one in listed["predictions"]),
        *(json.loads(line)["probability"] for line in (*streamed, text)),
    ]


def learn(client: httpx.Client, route: str) -> None:
    """Learn the same of the same features through every body of updates."""
    for k in range(6):
        label = int(k % 2)
        row = {"features": {"site": 7 if label else 8, "bid": "0.5", "request_id": k}, "label": label}
        assert client.post(f"{route}/update", json=row).status_code == 200
        assert client.post(f"{route}/update", json={"examples": [row]}).json()["accepted"] == 1
        assert client.post(f"{route}/update", content=json.dumps(row), headers=NDJSON).json()["accepted"] == 1
        line = f"{label} |site {7 if label else 8} |bid 0.5 |request_id {k}\n"
        assert client.post(f"{route}/update", content=line, headers=VW).json()["accepted"] == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_every_route_reads_by_it_and_so_it_is_after_a_start(
    start: Callable[..., ServiceProcess], tmp_path: Path, workers: int
) -> None:
    running = start(workers=workers).until_ready()
    with running.client() as client:
        route = put(client, tmp_path / "m", schema=SAID, default="refuse")
        settings = client.get(route).json()["settings"]
        assert settings["schema"] == {"fields": dict(sorted(SAID.items())), "default": "refuse"}
        assert settings["namespace_separator"] == "="
        learn(client, route)
        found = probabilities(client, route)
        assert max(found) - min(found) < 1e-6
        assert found[0] > 0.55
        refused = client.post(f"{route}/update", json={"features": {"sites": "a"}, "label": 1})
        assert refused.status_code == 422
        assert "did you mean 'site'" in refused.json()["detail"]
        wrong = client.post(f"{route}/update", json={"features": {"bid": "cheap"}, "label": 1})
        assert "the feature 'bid' is a number, says the schema" in wrong.json()["detail"]
    assert running.stop() == 0
    if workers > 1:
        return
    again = start(workers=workers).until_ready()
    with again.client() as client:
        assert client.get(route).json()["settings"] == settings
        assert probabilities(client, route) == found
    assert again.stop() == 0


def test_a_model_that_is_older_keeps_its_names(client: httpx.Client, tmp_path: Path) -> None:
    route = put(client, tmp_path / "m", "older", namespace_separator="^", version=1)
    assert set(client.get(route).json()["settings"]) == {"bits", "lanes", "scaled"}
    client.post(f"{route}/update", content="1 |site news\n" * 30, headers=VW)
    older = client.post(f"{route}/predict", content="|site news\n", headers=VW).json()["probability"]
    unseen = client.post(f"{route}/predict", json={"features": {"site": "news"}}).json()
    assert older > unseen["predictions"][0]["probability"]
    client.delete(route)


def test_a_journal_from_before_there_were_schemas_is_folded_by_the_older_names(tmp_path: Path) -> None:
    lanes = LogisticRegression(bits=6).settings["lanes"]
    older = {"bits": 6, "lanes": lanes, "scaled": True}  # what a journal of 0.1 begins with
    model = LogisticRegression.from_settings(older)
    batch = formats.parse(b"1 |site news\n0 |site blog\n", "vw", schema=model.schema)
    with Journal(tmp_path) as journal:
        entry = fold.settings_entry(model)
        assert json.loads(entry.body)["settings"] == older
        journal.append([entry, fold.batch_entry(batch)])
    model.learn(batch)
    again = LogisticRegression.from_settings(older)
    with JournalReader(tmp_path) as reader:
        for row in reader.read(1):
            fold.apply(again, row)
    assert again.digest() == model.digest()
