"""What the route of the history answers, from a running service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.demo.chunks import simulated_chunks
from nonzero_service.demo.simulation import SimulatedLog
from service.conftest import Start
from service.writer.test_breaker import NDJSON, body, labelled_all, stream

PATH = "/v1/models/default"


def history(client: httpx.Client, path: str = PATH, **asked: Any) -> dict[str, Any]:
    answer = client.get(f"{path}/history", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def update(client: httpx.Client, path: str, n: int) -> None:
    rows = [{"features": {"site": f"s{j % 9}"}, "label": int(j % 4 == 0), "weight": 2} for j in range(n)]
    assert client.post(f"{path}/update", json={"examples": rows}).status_code == 200


def test_a_model_that_has_learned_nothing_has_none(client: httpx.Client, model: str) -> None:
    for step in ("second", "minute", "hour", "day", "examples"):
        assert history(client, model, step=step)["rows"] == []
    assert history(client, model)["step"] == "second"
    assert history(client, model)["events"] == []


def test_what_was_acknowledged_is_there_at_every_step(client: httpx.Client, model: str) -> None:
    update(client, model, 100)
    for step in ("second", "minute", "hour", "day", "examples"):
        found = history(client, model, step=step)
        assert found["model"] == model.rpartition("/")[2]
        [row] = found["rows"]
        assert (row["examples"], row["weight"], row["clicks"], row["sequence"]) == (100, 200.0, 50.0, 100)
        assert (row["click_rate"], row["shares"]) == (0.25, None)
        assert row["time"] < row["end"]
        assert found["from"] <= row["time"]
        assert [event["text"] for event in found["events"]] == ["the model begins to learn"]


def test_times_are_taken_as_milliseconds_and_as_people_write_them(client: httpx.Client, model: str) -> None:
    update(client, model, 10)
    for now, later in (("1000", "4102444800000"), ("1970-01-01T00:00:01Z", "2100-01-01T01:00:00+01:00")):
        found = history(client, model, **{"from": now, "to": later})
        assert (found["from"], found["to"], len(found["rows"])) == (1000, 4_102_444_800_000, 1)
        assert found["step"] == "day"
    assert history(client, model, to=1000, step="minute")["rows"] == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"step": "year"}, "step is one of second, minute, hour, day, examples, not 'year'"),
        ({"from": "yesterday"}, "from is a time in milliseconds since 1970, or as in"),
        ({"to": "2026-01-31T12:00:00"}, "with a time zone; not '2026-01-31T12:00:00'"),
        ({"from": 5, "to": 5}, "from must be before to"),
        ({"step": "examples", "from": 5}, "leave from and to out"),
        ({"since": 5}, "there is no query parameter 'since'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    client: httpx.Client, model: str, asked: dict[str, Any], said: str
) -> None:
    answer = client.get(f"{model}/history", params=asked)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_one_made_anew_has_a_history_of_its_own(client: httpx.Client, model: str) -> None:
    update(client, model, 100)
    assert len(history(client, model)["rows"]) == 1
    assert client.delete(model).status_code == 204
    assert client.get(f"{model}/history").status_code == 404
    assert client.put(model, json={"bits": 12}).status_code == 201
    assert history(client, model)["rows"] == []
    update(client, model, 7)
    [row] = history(client, model, step="examples")["rows"]
    assert row["examples"] == 7
    assert len(row["shares"]) == 8


def test_one_that_came_as_a_file_begins_there(client: httpx.Client, model: str) -> None:
    update(client, model, 100)
    assert client.post(f"{model}/snapshots").status_code == 201
    file = client.get(f"{model}/snapshots/latest").content
    path = f"{model}-copy"
    headers = {"content-type": "application/vnd.safetensors"}
    assert client.put(path, content=file, headers=headers).status_code == 201
    update(client, path, 10)
    found = history(client, path, step="examples")
    assert [(row["examples"], row["sequence"]) for row in found["rows"]] == [(10, 110)]
    assert "learned from 100 examples before" in found["events"][0]["text"]
    assert client.delete(path).status_code == 204


@pytest.mark.sampled(1)
@pytest.mark.parametrize("killed", [False, True])
def test_a_pause_is_an_event_and_what_a_model_says_of_itself(
    start: Start, tmp_path: Path, killed: bool
) -> None:
    service = start(bits=12, learning_rate="0.1").until_ready()
    with service.client() as client:
        assert client.get(PATH).json()["learning"] == {
            "paused": False,
            "since": None,
            "reason": None,
            "held": 0,
        }
        client.post(f"{PATH}/update", content=body(stream(11_000, seed=1)), headers=NDJSON).raise_for_status()
        spoilt = body(labelled_all(stream(2500, seed=2), 1))
        assert client.post(f"{PATH}/update", content=spoilt, headers=NDJSON).status_code == 202
        learning = client.get(PATH).json()["learning"]
        assert learning["paused"]
        assert learning["held"] > 0
        assert learning["reason"].startswith("learning was paused: ")
    if killed:
        service.kill()
        service = start(tmp_path / "data", bits=12, learning_rate="0.1").until_ready()
    with service.client() as client:
        assert client.get(PATH).json()["learning"] == learning
        [pause] = [event for event in history(client)["events"] if event["kind"] == "pause"]
        assert (pause["time"], pause["text"]) == (learning["since"], learning["reason"])
        client.post(f"{PATH}/resume").raise_for_status()
        found = history(client, step="examples")
        kinds = ["start", "pause", *(["start"] if killed else []), "resume"]
        assert [event["kind"] for event in found["events"]] == kinds
        assert sum(row["examples"] for row in found["rows"]) == client.get(PATH).json()["sequence"]
        assert client.get(PATH).json()["learning"]["paused"] is False


def mean_loss(rows: list[dict[str, Any]]) -> float:
    """Return the mean log loss of the examples of some rows."""
    total: int = sum(row["examples"] for row in rows)
    return float(sum(row["log_loss"] * row["examples"] for row in rows)) / total


def test_the_demo_shows_that_something_changed_half_way(start: Start) -> None:
    service = start(bits=16).until_ready()
    with service.client() as client:
        for chunk in simulated_chunks(SimulatedLog(60_000), 1000):
            headers = {"content-type": chunk.content_type}
            client.post(f"{PATH}/update", content=chunk.labelled, headers=headers).raise_for_status()
        found = history(client, step="examples")
    shifts = [event for event in found["events"] if event["kind"] == "shift"]
    assert [abs(event["sequence"] - 30_000) <= 1000 for event in shifts] == [True]
    # A body that comes in pieces may be several rows: each counts by its examples.
    before, after = (
        [row for row in found["rows"] if low < row["sequence"] <= low + 4000] for low in (26_000, 30_000)
    )
    assert mean_loss(after) > 1.05 * mean_loss(before)
    assert max(row["examples"] for row in found["rows"]) <= 1000


def test_workers_pass_it_on_and_late_labels_are_told(start: Start) -> None:
    service = start(bits=10, workers=1).until_ready()
    with service.client() as client:
        assert client.get(PATH).json()["late_labels"] is None
        example = {"features": {"site": "news"}, "id": "one"}
        client.post(f"{PATH}/predict", json=example).raise_for_status()
        client.post(f"{PATH}/labels", json={"id": "one", "label": 1}).raise_for_status()
        for _ in range(4):  # one of them is on a connection of the worker's
            with service.client() as another:
                assert sum(row["examples"] for row in history(another)["rows"]) == 2
        state = client.get(PATH).json()
        assert state["late_labels"]["labels"]["joined"] == 1
        assert state["late_labels"]["predictions"]["kept"] == 1
        assert sum(state["mixture"]["shares"]) == pytest.approx(1)
        assert len(state["mixture"]["lanes"]) == 8
