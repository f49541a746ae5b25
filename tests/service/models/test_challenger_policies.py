"""A challenger that learns from impressions when its champion does not: restarts, kills, comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import snapshots_in
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.snapshot_files import needed_from
from nonzero_service.models.verifying import verify
from service.api.test_policies import Lives, label, predict
from service.faults.invariants import silent
from service.models.test_challengers import compared, digest, until_compared, without_names
from service.series import series
from waiting import until

Start = Callable[..., Any]

SETTINGS = {"bits": 10, "learning_rate": 0.1, "impressions": "durable", "breaker": "off", "slices": "site"}
OWN = {"bits": 18, "learning_rate": 0.3, "negatives": "window"}
ALONE = "/v1/models/alone"
DEFAULT = "/v1/models/default"
BOTH = (DEFAULT, ALONE)


def follow(client: httpx.Client, start: str = "nothing") -> None:
    body = {"follows": "default", "start": start, **OWN}
    answer = client.put("/v1/models/b", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["settings"]["negatives"] == "window"
    assert client.put("/v1/models/b", json=body).status_code == 200
    until_compared(client)


def update(client: httpx.Client, path: str, first: int, n: int, named: int | None = None) -> None:
    """Update with examples, the last of which may be the label of an impression."""
    rows: list[dict[str, Any]] = [
        {"features": {"site": f"s{j % 5}"}, "label": j % 3 == 0} for j in range(first, first + n)
    ]
    for row in rows:
        row["label"] = int(row["label"])
    if named is not None:
        rows[-1] |= {"id": f"{named}", "label": 1}
    assert client.post(f"{path}/update", json={"examples": rows}).status_code == 200


def until_learned(client: httpx.Client, name: str = "b") -> None:
    sequence = client.get(DEFAULT).json()["sequence"]
    until(lambda: client.get(f"/v1/models/{name}").json()["sequence"] == sequence)


def pause(client: httpx.Client) -> int:
    """Send what is usual, and then what is not; return how many examples are held."""
    usual = [{"indices": [j % 50], "label": int(j % 20 == 0)} for j in range(12_000)]
    jump = [{"indices": [j % 50], "label": 1} for j in range(3000)]
    for rows in (usual, jump):
        content = "".join(json.dumps(row) + "\n" for row in rows)
        media = {"content-type": "application/x-ndjson"}
        held: int = client.post(f"{DEFAULT}/update", content=content, headers=media).json().get("held", 0)
    assert held > 0
    return held


def begin(client: httpx.Client) -> None:
    for path in BOTH:
        predict(client, 0, 60, path)
        label(client, dict.fromkeys(range(0, 60, 4), 1) | dict.fromkeys(range(1, 60, 4), 0), path)
        update(client, path, 0, 20, named=2)


def end(lives: Lives) -> None:
    """Let all windows end, with a row before and behind."""
    lives.pass_by(3590)
    with lives.client() as client:
        for path in BOTH:
            update(client, path, 20, 10)
        lives.pass_by(301)
        until(lambda: series(client, "nonzero_pending_labels") == 0)
        for path in BOTH:
            update(client, path, 30, 10)
            label(client, {3: 1}, path)  # it comes late
        until_learned(client)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("start", ["nothing", "refold"])
def test_it_becomes_what_a_model_of_that_policy_becomes(clocked: Start, tmp_path: Path, start: str) -> None:
    lives = Lives(clocked, **SETTINGS, journal_retention="all")
    with lives.client() as client:
        assert client.put(ALONE, json=OWN).status_code == 201
        if start == "nothing":
            follow(client)
        begin(client)
        if start == "refold":
            follow(client, "refold")
    end(lives)
    with lives.client() as client:
        expected = digest(client, "alone", tmp_path / "alone")
        assert digest(client, "b", tmp_path / "b") == expected
        found = compared(client)
        # All that was learned, but for the click that came late, and what came before it was compared.
        assert found["examples"] == (99 if start == "nothing" else 20)
        learned = LogisticRegression.load(tmp_path / "b")
        assert learned.examples == 100
        assert client.get("/v1/models/b").json()["sequence"] == client.get(DEFAULT).json()["sequence"]
    lives.running.kill()
    models = tmp_path / "data" / "models"
    with JournalReader(models / "default") as reader:
        first = next(row.position for row in reader.read() if row.kind == "impression")
    assert needed_from(snapshots_in(models / "b" / "snapshots")[0]) == first, "its rows are read again"
    for name in ("default", "b"):
        assert verify(tmp_path / "data" / "models" / name, silent).faults == []


def test_a_kill_changes_nothing(clocked: Start, tmp_path: Path) -> None:
    lives = Lives(clocked, **SETTINGS)
    with lives.client() as client:
        assert client.put(ALONE, json=OWN).status_code == 201
        follow(client)
        begin(client)
        until_learned(client)
        before = compared(client)
        assert before["examples"] == 19
    for snapshots in ([], ["b"], ["default", "b"]):  # while windows are open
        lives.down_for(0)
        with lives.client() as client:
            until_compared(client)
            assert without_names(compared(client)) == without_names(before)
            for name in snapshots:
                assert client.post(f"/v1/models/{name}/snapshots").status_code == 201
    end(lives)
    with lives.client() as client:
        before, expected = compared(client), digest(client, "alone", tmp_path / "alone")
        assert before["examples"] == 99
        assert digest(client, "b", tmp_path / "b") == expected
    for _ in range(2):
        lives.down_for(0)
        with lives.client() as client:
            until_compared(client)
            assert without_names(compared(client)) == without_names(before)
            assert digest(client, "b", tmp_path / "b") == expected
            update(client, DEFAULT, 50, 5)
            update(client, ALONE, 50, 5)
            until_learned(client)
            before, expected = compared(client), digest(client, "alone", tmp_path / "alone")
    lives.running.kill()
    assert verify(tmp_path / "data" / "models" / "b", silent).faults == []


def test_what_may_differ(start: Start) -> None:
    running = start(**SETTINGS).until_ready()
    with running.client() as client:
        for own, word in (
            ({"negatives": "at_end"}, '"window"'),
            ({"negatives": "window", "attribution_seconds": 60}, "one window"),
            ({"correction_seconds": 60}, "one window"),
        ):
            answer = client.put("/v1/models/b", json={"follows": "default", **own})
            assert answer.status_code == 422, answer.text
            assert word in answer.json()["detail"]
        assert (
            client.put("/v1/models/b", json={"follows": "default", "negatives": "at_once"}).status_code == 201
        )


@pytest.mark.sampled(1)
@pytest.mark.parametrize("discard", [False, True], ids=["applied", "discarded"])
def test_a_pause_that_lasts_over_a_kill(start: Start, tmp_path: Path, discard: bool) -> None:
    running = start(**SETTINGS | {"breaker": "on"}).until_ready()
    with running.client() as client:
        follow(client)
        predict(client, 0, 10)
        many = pause(client)
        predict(client, 100, 10)
        label(client, {0: 1, 100: 1})
        until_learned(client)
        assert client.post("/v1/models/b/snapshots").status_code == 201
    running.kill()
    running = start(**SETTINGS | {"breaker": "on"}).until_ready()
    with running.client() as client:
        until_compared(client)
        before = compared(client)["examples"]
        assert client.post(f"{DEFAULT}/resume", params={"discard": discard}).status_code == 200
        until_learned(client)
        after = compared(client)
        assert after["examples"] - before == (0 if discard else many)
    running.kill()
    running = start(**SETTINGS | {"breaker": "on"}).until_ready()
    with running.client() as client:
        until_compared(client)
        assert without_names(compared(client)) == without_names(after)
    running.kill()
    assert verify(tmp_path / "data" / "models" / "b", silent).faults == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("snapshots", [False, True])
def test_it_may_begin_in_a_pause(start: Start, tmp_path: Path, snapshots: bool) -> None:
    running = start(**SETTINGS | {"breaker": "on"}).until_ready()
    with running.client() as client:
        predict(client, 0, 10)
        many = pause(client)
        predict(client, 10, 10)
        follow(client)
        predict(client, 20, 10)
        label(client, {0: 1, 10: 1, 20: 1})
        if snapshots:
            assert client.post("/v1/models/b/snapshots").status_code == 201
    running.kill()
    running = start(**SETTINGS | {"breaker": "on"}).until_ready()
    with running.client() as client:
        assert client.post(f"{DEFAULT}/resume").status_code == 200
        until_learned(client)
        # What was held and was no impression. Those of the pause wait, and those from before it are not its.
        assert client.get("/v1/models/b/metrics").json()["examples"] == many
        assert client.post(f"{DEFAULT}/promote?with=b").status_code == 200
        assert series(client, "nonzero_pending_labels") == 27
        assert client.get(f"{DEFAULT}/metrics").json()["examples"] == many
    running.kill()
    assert verify(tmp_path / "data" / "models" / "default", silent).faults == []
