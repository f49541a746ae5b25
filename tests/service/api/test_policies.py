"""When impressions are learned from: three policies, through kills, pauses and starts."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.inspecting import inspect_model
from nonzero_service.models.verifying import verify
from service.faults.invariants import silent
from service.series import series
from waiting import until

Start = Callable[..., Any]
PATH = "/v1/models/default"
SETTINGS = {"bits": 12, "learning_rate": 0.1, "journal_retention": "all", "impressions": "durable"}
POLICIES = ("at_once", "window", "at_end")


def predict(client: httpx.Client, first: int, n: int, path: str = PATH) -> list[float]:
    rows = [{"features": {"site": f"s{j % 7}"}, "id": f"{j}"} for j in range(first, first + n)]
    answer = client.post(f"{path}/predict", json={"examples": rows})
    assert answer.status_code == 200
    return [one["probability"] for one in answer.json()["predictions"]]


def label(client: httpx.Client, labels: dict[int, int], path: str = PATH) -> dict[str, Any]:
    body = {"labels": [{"id": f"{j}", "label": y} for j, y in labels.items()]}
    answer = client.post(f"{path}/labels", json=body)
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    return found


def sequence(client: httpx.Client) -> int:
    found: int = client.get(PATH).json()["sequence"]
    return found


class Lives:
    """One service after another on the same directory, and a clock that goes on."""

    def __init__(self, clocked: Start, **settings: Any) -> None:
        self._clocked, self._settings, self._passed = clocked, settings, 0
        self.begin()

    def begin(self) -> None:
        self.running = self._clocked(self._passed, **self._settings).until_ready()

    def pass_by(self, seconds: int) -> None:
        self._passed += seconds
        self.running.clock.pass_by(seconds)

    def down_for(self, seconds: int) -> None:
        """Kill it, and begin again after a while."""
        self.running.kill()
        self._passed += seconds
        self.begin()

    def client(self) -> httpx.Client:
        found: httpx.Client = self.running.client()
        return found


def kinds(directory: Path) -> list[str]:
    with JournalReader(directory) as reader:
        return [row.kind for row in reader.read()]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("negatives", "workers"), [*((policy, 1) for policy in POLICIES), ("at_end", 2)])
def test_each_policy_learns_each_impression_once_whatever_is_killed(
    clocked: Start, tmp_path: Path, negatives: str, workers: int
) -> None:
    lives = Lives(clocked, **SETTINGS, negatives=negatives, workers=workers)
    directory = tmp_path / "data" / "models" / "default"
    with lives.client() as client:
        predict(client, 0, 100)
        assert sequence(client) == (100 if negatives == "at_once" else 0)
        clicks, zeros = range(0, 100, 5), range(1, 100, 5)
        answer = label(client, dict.fromkeys(clicks, 1) | dict.fromkeys(zeros, 0))
        assert answer["accepted"] == 40
        learned = {"at_once": 120, "window": 0, "at_end": 40}[negatives]
        assert answer["sequence"] == learned
        again = label(client, {0: 1, 1: 1, 2: 0})
        assert (again["accepted"], again["rejected"]) == (1, 2)
        learned += negatives == "at_end"
        predict(client, 0, 100)  # ids that repeat teach nothing
        assert sequence(client) == learned
    lives.running.kill()
    assert inspect_model(directory).pending == 59
    lives.begin()
    with lives.client() as client:
        assert sequence(client) == learned
        assert series(client, "nonzero_pending_labels") == 59
        assert label(client, {0: 1, 3: 1})["accepted"] == 1
        learned += negatives != "window"
        lives.pass_by(3600 + 301)
        ended = {"at_once": learned, "window": 100, "at_end": 100}[negatives]
        until(lambda: series(client, "nonzero_pending_labels") == 0)
        until(lambda: sequence(client) == ended)
        late = label(client, {4: 1})
        assert (late["accepted"], late["corrected"], late["sequence"]) == (1, 1, ended + 1)
    lives.running.kill()
    assert verify(directory, silent).faults == []
    lives.begin()
    with lives.client() as client:
        assert sequence(client) == ended + 1
    found = kinds(directory)
    assert found.count("impression") == 1
    assert ("label" in found) == (negatives != "at_end")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("discard", [False, True], ids=["applied", "discarded"])
def test_what_is_predicted_in_a_pause_is_held_with_its_click(
    start: Start, tmp_path: Path, discard: bool
) -> None:
    running = start(**SETTINGS).until_ready()
    directory = tmp_path / "data" / "models" / "default"
    body = "".join(json.dumps({"indices": [j % 50], "label": int(j % 20 == 0)}) + "\n" for j in range(12_000))
    jump = "".join(json.dumps({"indices": [j % 50], "label": 1}) + "\n" for j in range(3000))
    ndjson = {"content-type": "application/x-ndjson"}
    with running.client() as client:
        client.post(f"{PATH}/update", content=body, headers=ndjson)
        predict(client, 0, 10)
        before = client.post(f"{PATH}/update", content=jump, headers=ndjson).json()
        predict(client, 100, 10)
        held = label(client, {0: 1, 100: 1})
        assert (held["accepted"], held["held"], held["sequence"]) == (2, 2, before["sequence"])
    running.kill()
    assert inspect_model(directory).pending == 18
    running = start(**SETTINGS).until_ready()
    with running.client() as client:
        many = before["held"] + 12
        assert series(client, "nonzero_held_examples") == many
        resumed = client.post(f"{PATH}/resume", params={"discard": discard}).json()
        assert (resumed["applied"], resumed["discarded"]) == ((0, many) if discard else (many, 0))
        weight = client.get(f"{PATH}/metrics").json()["weight"]
        (p,) = (row for row in predict(client, 101, 1))
        label(client, {101: 1})
        added = client.get(f"{PATH}/metrics").json()["weight"] - weight
        # A negative that was discarded has nothing to take back.
        assert added == pytest.approx(1.0) if discard else added > 1
        assert 0 < p < 1
    running.kill()
    assert verify(directory, silent).faults == []


def test_impressions_wait_where_clicks_stay_out_and_have_their_turn(clocked: Start, tmp_path: Path) -> None:
    lives = Lives(clocked, **SETTINGS, breaker="off")
    rng, clicked = np.random.default_rng(1), set[int]()
    with lives.client() as client:
        for first in range(0, 4000, 500):  # ordinary traffic of 20 % clicks
            predict(client, first, 500)
            clicks = [first + int(j) for j in np.flatnonzero(rng.random(500) < 0.2)]
            clicked.update(clicks)
            lives.pass_by(60)
            label(client, dict.fromkeys(clicks, 1))
            lives.pass_by(300)  # they are ripe: none waits for a click that will not come
            until(lambda: series(client, "nonzero_waiting_impressions") < 60)
        predict(client, 4000, 1000)  # their labels stay out
        assert 900 < series(client, "nonzero_waiting_impressions") < 1000
        assert series(client, "nonzero_label_balance") >= 2
        lives.pass_by(300)
        waiting = sequence(client)
    lives.down_for(0)
    with lives.client() as client:
        assert sequence(client) == waiting
        p = predict(client, 5000, 1)[0]
        assert 0.1 < p < 0.3, "an outage does not pull it down"
        label(client, {j: 1 for j in range(4000, 5000) if rng.random() < 0.2})
        lives.pass_by(1000)
        until(lambda: series(client, "nonzero_waiting_impressions") < 60)
        assert 0.1 < predict(client, 5001, 1)[0] < 0.35
        predict(client, 6000, 1000)
        lives.pass_by(3600 + 301)  # none comes: they have their turn when their window ends
        until(lambda: series(client, "nonzero_pending_labels") == 0)
        assert 'outcome="waited_out"' in client.get("/metrics").text
        assert series(client, "nonzero_waiting_impressions") == 0
    lives.running.kill()
    assert verify(tmp_path / "data" / "models" / "default", silent).faults == []


def test_policies_and_windows_are_the_models_own_and_stay(start: Start) -> None:
    running = start(**SETTINGS, negatives="window").until_ready()
    own = {"negatives": "at_once", "attribution_seconds": 60, "correction_seconds": 0}
    with running.client() as client:
        assert client.get(PATH).json()["settings"]["negatives"] == "window"
        assert client.put("/v1/models/own", json={"bits": 8, **own}).status_code == 201
        assert client.put("/v1/models/own", json={"bits": 8, **own}).status_code == 200
        assert client.put("/v1/models/own", json={"negatives": "at_end"}).status_code == 409
        assert client.put("/v1/models/bad", json={"negatives": "never"}).status_code == 422
        assert client.put("/v1/models/bad", json={"attribution_seconds": 0}).status_code == 422
        settings = client.get("/v1/models/own").json()["settings"]
        assert {key: settings[key] for key in own} == own
    running.stop(signal.SIGTERM)
    running = start(**SETTINGS, negatives="at_end", attribution_seconds=5).until_ready()
    with running.client() as client:
        settings = client.get(PATH).json()["settings"]
        assert (settings["negatives"], settings["attribution_seconds"]) == ("window", 3600)
    warned = {line["setting"] for line in running.log if line["event"] == "a stored setting wins"}
    assert {"negatives", "attribution_seconds"} <= warned


def test_figures_are_of_what_was_answered_and_silence_is_an_alarm(clocked: Start) -> None:
    running = clocked(**SETTINGS, breaker="off", negatives="at_end").until_ready()
    with running.client() as client:
        assert client.get(f"{PATH}/metrics").json()["served"] is None
        p = predict(client, 0, 1000)  # an untrained model says 0.5
        running.clock.pass_by(60)
        label(client, dict.fromkeys(range(0, 1000, 10), 1))
        running.clock.pass_by(300)
        assert series(client, "nonzero_model_recent_calibration") == pytest.approx(sum(p) / 100, rel=1e-3)
        served = client.get(f"{PATH}/metrics").json()["served"]
        assert (served["examples"], served["ripe_seconds"]) == (1000, pytest.approx(180, abs=5))
        assert served["calibration"] == pytest.approx(sum(p) / 100, rel=1e-3)
        assert series(client, "nonzero_label_outage") == 0
        predict(client, 1000, 200)
        running.clock.pass_by(4 * 3600)
        until(lambda: series(client, "nonzero_label_outage") == 1)
        until(lambda: any(line["event"] == "labels have stopped coming" for line in running.log))
        assert series(client, "nonzero_label_silence_clicks") > 30
        predict(client, 2000, 1)
        label(client, {2000: 1})
        until(lambda: series(client, "nonzero_label_outage") == 0)
        until(lambda: any(line["event"] == "labels come again" for line in running.log))


def test_windows_do_not_end_before_labels_that_waited_for_the_service(clocked: Start) -> None:
    lives = Lives(clocked, **SETTINGS, negatives="window", attribution_seconds=600)
    with lives.client() as client:
        predict(client, 0, 10)
    lives.down_for(1000)
    with lives.client() as client:
        assert series(client, "nonzero_pending_labels") == 10
        lives.pass_by(290)
        answer = label(client, {0: 1})
        assert (answer["accepted"], answer["corrected"]) == (1, 0)
        lives.pass_by(20)
        until(lambda: sequence(client) == 10)
