"""Promotion of a challenger that learns from impressions when its champion does not.

From its row on the model is held against one that has always had that policy, and was sent the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.models.inspecting import inspect_model
from nonzero_service.models.rebuilding import rebuild
from nonzero_service.models.verifying import verify
from service.api.test_policies import Lives, label, predict
from service.faults.invariants import silent
from service.models.test_challenger_policies import (
    ALONE,
    BOTH,
    DEFAULT,
    OWN,
    SETTINGS,
    Start,
    begin,
    follow,
    pause,
    until_learned,
    update,
)
from service.models.test_challengers import compared, digest, until_compared, without_names
from service.series import series
from waiting import until


def promote(client: httpx.Client, name: str = "b") -> dict[str, Any]:
    answer = client.post(f"{DEFAULT}/promote?with={name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def alike(client: httpx.Client, directory: Path) -> str:
    """Hold the promoted model against the one that always had its policy."""
    found = digest(client, "default", directory / "default.model")
    assert found == digest(client, "alone", directory / "alone.model")
    return found


def sound(directory: Path) -> None:
    for path in (directory / "models").iterdir():
        found = verify(path, silent)
        assert found.faults == [], (path, found.faults)


def go_on(client: httpx.Client) -> None:
    """Send more to both: of impressions from before the promotion, and others."""
    for path in BOTH:
        predict(client, 60, 40, path)
        label(client, dict.fromkeys(range(5, 100, 8), 1) | dict.fromkeys(range(6, 100, 8), 0), path)
        label(client, {4: 1, 1: 1}, path)  # they have been clicked, and denied, already
        update(client, path, 40, 10, named=7)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("start", "killed"), [("nothing", True), ("refold", False)])
def test_it_goes_on_as_a_model_that_always_had_its_policy(
    clocked: Start, tmp_path: Path, start: str, killed: bool
) -> None:
    lives = Lives(clocked, **SETTINGS, journal_retention="all")
    place = tmp_path / "data"
    with lives.client() as client:
        assert client.put(ALONE, json=OWN).status_code == 201
        if start == "nothing":
            follow(client)
        begin(client)
        if start == "refold":
            follow(client, "refold")
        sequence = client.get(DEFAULT).json()["sequence"]
        done = promote(client)
        assert done["sequence"] == sequence
        assert client.get(DEFAULT).json()["settings"]["negatives"] == "window"
        alike(client, tmp_path)
        pending = series(client, "nonzero_pending_labels")
        go_on(client)
        expected = alike(client, tmp_path)
    if killed:
        lives.down_for(0)
        assert inspect_model(place / "models" / "default").pending > 0
    with lives.client() as client:
        assert alike(client, tmp_path) == expected
        assert client.get(DEFAULT).json()["sequence"] == sequence + 9
        lives.pass_by(3601 + (300 if killed else 0))
        until(lambda: series(client, "nonzero_pending_labels") == 0)
        assert alike(client, tmp_path) != expected
        for path in BOTH:
            late = label(client, {3: 1, 11: 1, 63: 1, 4: 1}, path)  # the last was clicked in time
            assert (late["accepted"], late["rejected"], late["corrected"]) == (3, 1, 3), late
            update(client, path, 60, 5, named=10)
        expected = alike(client, tmp_path)
        # Each of a hundred once, four that came late, and what were no impressions.
        assert client.get(f"{DEFAULT}/metrics").json()["examples"] == 100 + 4 + 19 + 9 + 4
        assert pending > 0
    if killed:
        lives.down_for(0)
        with lives.client() as client:
            assert alike(client, tmp_path) == expected
            assert client.post(f"{DEFAULT}/snapshots").status_code == 201
    lives.running.kill()
    sound(place)
    made = rebuild(place / "models" / "default", 18, lambda _, __: None)
    assert made.digest() == expected


def test_who_follows_what_it_has_become(clocked: Start, tmp_path: Path) -> None:
    """Challengers of a promoted model follow and are promoted, whatever the journal holds from before."""
    lives = Lives(clocked, **SETTINGS, journal_retention="all")
    with lives.client() as client:
        assert client.put(ALONE, json=OWN).status_code == 201
        follow(client)
        begin(client)
        promote(client)
        go_on(client)
        follow(client, "refold")  # by its policy from the first row on
        plain = {"follows": "default", "bits": 18, "learning_rate": 0.3}
        assert client.put("/v1/models/c", json=plain).status_code == 201
        until_compared(client, "c")
        for path in BOTH:
            predict(client, 100, 20, path)
    lives.down_for(0)
    lives.pass_by(3590)
    with lives.client() as client:
        for name in ("b", "c"):
            until_compared(client, name)
        for path in BOTH:
            update(client, path, 80, 3)
        lives.pass_by(301)
        until(lambda: series(client, "nonzero_pending_labels") == 0)
        for path in BOTH:
            update(client, path, 70, 3)
        until_learned(client)
        expected = alike(client, tmp_path)
        assert digest(client, "b", tmp_path / "b") == expected
        assert compared(client, "c")["examples"] == 126
        promote(client, "c")  # it has learned what its champion has, so the rows go on for it as they did
        assert client.get(DEFAULT).json()["settings"]["negatives"] == "window"
        sequence = client.get(DEFAULT).json()["sequence"]
        promote(client)
        assert client.get(DEFAULT).json()["sequence"] == sequence
        assert digest(client, "default", tmp_path / "default.model") == expected
        for path in BOTH:
            predict(client, 120, 5, path)
            label(client, {110: 1, 120: 1}, path)  # the first comes late
            update(client, path, 73, 3)
        expected = alike(client, tmp_path)
    lives.down_for(0)
    with lives.client() as client:
        assert alike(client, tmp_path) == expected
    lives.running.kill()
    sound(tmp_path / "data")
    assert rebuild(tmp_path / "data" / "models" / "default", 18, lambda _, __: None).digest() == expected


@pytest.mark.sampled(1)
@pytest.mark.parametrize("snapshots", [(), ("default", "c")])
def test_who_learned_when_the_old_champion_did_follows_on(
    clocked: Start, tmp_path: Path, snapshots: tuple[str, ...]
) -> None:
    """From the row on it joins labels itself; so it learns from no impression twice, and may be promoted."""
    lives = Lives(clocked, **SETTINGS, journal_retention="all")
    place = tmp_path / "data"
    with lives.client() as client:
        follow(client)
        plain = {"follows": "default", "bits": 18, "learning_rate": 0.3}
        assert client.put("/v1/models/c", json=plain).status_code == 201
        until_compared(client, "c")
        predict(client, 0, 60)
        label(client, dict.fromkeys(range(0, 60, 4), 1) | dict.fromkeys(range(1, 60, 4), 0))
        promote(client)
        for name in snapshots:
            assert client.post(f"/v1/models/{name}/snapshots").status_code == 201
        assert client.get("/v1/models/c/metrics").json()["examples"] == 75
        until(lambda: client.get("/v1/models/c").json()["settings"]["negatives"] == "window")
        assert client.put("/v1/models/c", json=plain).status_code == 200
        label(client, {2: 1, 6: 0})
        predict(client, 60, 10)
        update(client, DEFAULT, 0, 5)
        assert compared(client, "c")["examples"] == 5
    lives.down_for(0)
    lives.pass_by(3590)
    with lives.client() as client:
        until_compared(client, "c")
        update(client, DEFAULT, 5, 5)
        lives.pass_by(301)
        until(lambda: series(client, "nonzero_pending_labels") == 0)
        label(client, {3: 1, 63: 1})  # they come late
        update(client, DEFAULT, 10, 5)
        until_learned(client, "c")
        before, expected = compared(client, "c"), digest(client, "c", tmp_path / "c")
        # A click takes back what was learned at once, and what came since is learned when its window ends.
        assert client.get("/v1/models/c/metrics").json()["examples"] == 75 + 3 + 10 + 15
        assert before["examples"] == 25
    for _ in range(2):
        lives.down_for(0)
        with lives.client() as client:
            until_compared(client, "c")
            assert without_names(compared(client, "c")) == without_names(before)
            assert digest(client, "c", tmp_path / "c") == expected
        sound(place)
    with lives.client() as client:
        follow(client)
        predict(client, 80, 5)
        promote(client, "c")
        predict(client, 70, 5)
        label(client, {80: 1})
        assert label(client, {5: 1, 70: 1})["corrected"] == 0
        expected = digest(client, "default", tmp_path / "default.model")
    lives.down_for(0)
    with lives.client() as client:
        assert digest(client, "default", tmp_path / "default.model") == expected
    lives.running.kill()
    sound(place)
    assert rebuild(place / "models" / "default", 18, lambda _, __: None).digest() == expected


def test_not_in_a_pause_of_its_champion(start: Start, tmp_path: Path) -> None:
    running = start(**SETTINGS | {"breaker": "on"}).until_ready()
    with running.client() as client:
        follow(client)
        predict(client, 0, 10)
        pause(client)
        predict(client, 10, 10)
        label(client, {0: 1, 10: 1})
        answer = client.post(f"{DEFAULT}/promote?with=b")
        assert answer.status_code == 409
        assert "/resume" in answer.json()["detail"]
        assert client.post(f"{DEFAULT}/resume").status_code == 200
        promote(client)
        assert label(client, {0: 1, 10: 1, 1: 1})["accepted"] == 1, "two are known"
    running.kill()
    running = start(**SETTINGS | {"breaker": "on"}).until_ready()
    with running.client() as client:
        assert client.get(DEFAULT).json()["settings"]["negatives"] == "window"
        assert series(client, "nonzero_pending_labels") == 17
    running.kill()
    sound(tmp_path / "data")
