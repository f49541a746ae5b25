"""Served: a jump that weights would hide is held, and what was discarded never becomes what is usual."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from waiting import until

PATH = "/v1/models/default"
NDJSON = {"content-type": "application/x-ndjson"}
SETTINGS = {"bits": 12, "learning_rate": 0.1}

Start = Callable[..., Any]


def calm(n: int, rate: float = 0.05) -> bytes:
    """Write examples, of which so many are clicked, as NDJSON."""
    clicked = np.random.default_rng(n).random(n) < rate
    rows = [{"indices": [j % 50], "label": int(y)} for j, y in enumerate(clicked)]
    return lines(rows)


def hidden(n: int, heavy: float = 1000) -> bytes:
    """Write examples of label 1, of which one in each 250 is heavy."""
    weights = [heavy if j % 250 == 0 else 1 for j in range(n)]
    return lines([{"indices": [j % 50], "label": 1, "weight": weight} for j, weight in enumerate(weights)])


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def update(client: httpx.Client, body: bytes) -> httpx.Response:
    return client.post(f"{PATH}/update", content=body, headers=NDJSON)


def trips(client: httpx.Client, body: bytes) -> None:
    """Send a jump; it must be held but for its beginning."""
    answer = update(client, body)
    assert answer.status_code == 202
    assert answer.json()["accepted"] <= 2000
    assert answer.json()["held"] > 0


@pytest.mark.sampled(1)
@pytest.mark.parametrize("restart", ["none", "in the pause", "after it"])
def test_what_was_discarded_trips_again(start: Start, restart: str) -> None:
    running = start(**SETTINGS).until_ready()
    with running.client() as client:
        assert update(client, calm(20_000)).status_code == 200
    for again in (False, True):
        with running.client() as client:
            trips(client, hidden(4000))
        if restart == "in the pause" and not again:
            running.stop(signal.SIGKILL)
            running = start(**SETTINGS).until_ready()
        with running.client() as client:
            assert client.post(f"{PATH}/resume", params={"discard": True}).status_code == 200
        if restart == "after it" and not again:
            running.stop(signal.SIGKILL)
            running = start(**SETTINGS).until_ready()
    with running.client() as client:
        assert update(client, calm(900)).status_code == 200


def test_after_a_discard_the_usual_is_learned_again(start: Start) -> None:
    """Though the model has learned of the jump, and is wrong about most of it for a while."""
    with start(**SETTINGS).until_ready().client() as client:
        assert update(client, calm(20_000)).status_code == 200
        trips(client, hidden(4000, 1e6))
        assert client.post(f"{PATH}/resume", params={"discard": True}).status_code == 200
        assert update(client, calm(30_000)).status_code == 200


def test_what_was_applied_is_usual_from_then_on(start: Start) -> None:
    running = start(**SETTINGS).until_ready()
    with running.client() as client:
        assert update(client, calm(20_000)).status_code == 200
        trips(client, calm(6000, 0.4))
        assert client.post(f"{PATH}/resume").status_code == 200
        assert update(client, calm(20_000, 0.4)).status_code == 200
    running.stop(signal.SIGKILL)
    with start(**SETTINGS).until_ready().client() as client:
        assert update(client, calm(15_000, 0.4)).status_code == 200
        trips(client, calm(6000, 0.02))


def test_clicks_that_come_late_are_learned_and_clicks_of_too_many_are_held(clocked: Start) -> None:
    def predict(first: int, n: int) -> None:
        examples = [{"indices": [j % 50], "id": f"{j}"} for j in range(first, first + n)]
        for at in range(0, n, 1000):
            body = {"examples": examples[at : at + 1000]}
            assert client.post(f"{PATH}/predict", json=body).status_code == 200

    def label(ids: range) -> httpx.Response:
        labels = [{"id": f"{j}", "label": 1} for j in ids]
        answer: httpx.Response = client.post(f"{PATH}/labels", json={"labels": labels})
        return answer

    running = clocked(**SETTINGS, negatives="at_end").until_ready()
    with running.client() as client:
        for first in range(0, 15_000, 5000):
            predict(first, 5000)
            assert label(range(first, first + 5000, 20)).json()["accepted"] == 250
        running.clock.pass_by(3600)
        until(lambda: client.get(PATH).json()["sequence"] == 15_000)  # the windows end
        predict(15_000, 15_000)
        answer = label(range(15_000, 30_000, 20))  # all clicks of fifteen thousand at once
        assert (answer.status_code, answer.json()["accepted"]) == (200, 750)
        predict(30_000, 3000)
        answer = label(range(30_000, 33_000, 2))  # every second impression is clicked
        assert answer.status_code == 202
        assert 1000 <= answer.json()["held"] < 1500
        assert 'figure="click_rate"' in client.get("/metrics").text
