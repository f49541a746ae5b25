"""The largest importance weight holds for whatever is learned from, whichever way it comes."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from nonzero import Batch, Schema
from nonzero.formats import Parsed
from nonzero_service.writer.micro_batch import MicroBatch
from nonzero_service.writer.teachable import named, teachable
from nonzero_service.writer.work import Applied

MOST = 1000  # as the setting is by default
NDJSON = {"content-type": "application/x-ndjson"}
VW = {"content-type": "text/x-vw"}


def example(weight: float, **more: Any) -> dict[str, Any]:
    return {"features": {"site": "news"}, "weight": weight, **more}


Update = Callable[[httpx.Client, str, float], httpx.Response]


def gathered(client: httpx.Client, model: str, weight: float) -> httpx.Response:
    return client.post(f"{model}/update", json=example(weight, label=1))


def listed(client: httpx.Client, model: str, weight: float) -> httpx.Response:
    body = {"examples": [example(1, label=0), example(weight, label=1)]}
    return client.post(f"{model}/update", json=body)


def keyed(client: httpx.Client, model: str, weight: float) -> httpx.Response:
    key = {"idempotency-key": f"{model} {weight}"}
    return client.post(f"{model}/update", json=example(weight, label=1), headers=key)


BODIES: list[Update] = [gathered, listed, keyed]


@pytest.mark.parametrize("send", BODIES)
def test_a_body_with_a_weight_beyond_it_is_refused(client: httpx.Client, model: str, send: Update) -> None:
    refused = send(client, model, 1000.5)
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert error["line"] == 1 + (send is listed)
    for said in ("1000.5", "1000,", "max_weight"):
        assert said in error["reason"]
    assert client.get(model).json()["sequence"] == 0
    assert send(client, model, MOST).status_code == 200
    assert client.get(f"{model}/metrics").json()["weight"] == MOST + (send is listed)


@pytest.mark.parametrize("accept", ["*/*", "application/x-ndjson"])
@pytest.mark.parametrize("media", [NDJSON, VW], ids=["ndjson", "vw"])
def test_a_line_with_a_weight_beyond_it_is_named(
    client: httpx.Client, model: str, media: dict[str, str], accept: str
) -> None:
    weights = [1, 5000, 2, 1e6, MOST]
    if media is VW:
        body = "".join(f"1 {weight:.0f} | site=news\n" for weight in weights)
    else:
        body = "".join(json.dumps(example(weight, label=1)) + "\n" for weight in weights)
    answer = client.post(f"{model}/update", content=body, headers=media | {"accept": accept})
    learned = json.loads(answer.text.splitlines()[-1])
    assert (learned["accepted"], learned["rejected"]) == (3, 2)
    assert [error["line"] for error in learned["errors"]] == [2, 4]
    assert "5000" in learned["errors"][0]["reason"]
    assert client.get(f"{model}/metrics").json()["weight"] == 1003
    assert client.post(f"{model}/update?strict=true", content=body, headers=media).status_code == 422


def test_a_prediction_that_is_to_teach_is_held_to_it(client: httpx.Client, model: str) -> None:
    """One without an id teaches nobody: its weight is nobody's business."""
    assert client.post(f"{model}/predict", json=example(1e6)).status_code == 200
    refused = client.post(f"{model}/predict", json=example(1e6, id="heavy"))
    assert refused.status_code == 422
    assert "max_weight" in refused.json()["errors"][0]["reason"]
    body = "\n".join(json.dumps(example(w, id=n)) for n, w in (("light", 1000), ("heavy", 1e5)))
    kept, named_line, unnamed = client.post(
        f"{model}/predict", content=f"{body}\n{json.dumps(example(1e5))}\n", headers=NDJSON
    ).text.splitlines()
    assert json.loads(kept)["id"] == "light"
    assert json.loads(named_line)["line"] == 2
    assert "100000.0 is above 1000" in json.loads(named_line)["reason"]
    assert "probability" in json.loads(unnamed)
    for name, status in (("light", 200), ("heavy", 404)):
        assert client.post(f"{model}/labels", json={"id": name, "label": 1}).status_code == status
    # A negative of 1000, and a click that takes it back: 1000 / (1 - 0.5).
    assert client.get(f"{model}/metrics").json()["weight"] == 3000


def test_a_smaller_one_changes_nothing_that_is_in_the_journal(start: Callable[..., Any]) -> None:
    running = start(max_weight=1e6).until_ready()
    model = "/v1/models/default"
    with running.client() as own:
        assert own.post(f"{model}/update", json=example(50_000, label=1)).status_code == 200
        learned = own.post(f"{model}/predict", json=example(1)).json()
    running.stop(signal.SIGKILL)
    again = start(max_weight=10, workers=2).until_ready()
    with again.client() as own:
        assert own.post(f"{model}/predict", json=example(1)).json() == learned
        for _ in range(8):  # connections of their own come to any process
            with again.client() as another:
                assert gathered(another, model, 11).status_code == 422
                assert another.post(f"{model}/predict", json=example(11, id="x")).status_code == 422
        assert own.get(model).json()["sequence"] == 1


def test_of_bodies_that_have_gathered_the_heavy_one_is_given_back_alone() -> None:
    async def learn() -> list[Any]:
        loop = asyncio.get_running_loop()
        gathered = MicroBatch(loop, 10)
        waiting: list[asyncio.Future[Applied | None]] = [loop.create_future() for _ in range(3)]
        for weight, waiter in zip((10, 10.5, 3), waiting, strict=True):
            gathered.add(json.dumps(example(weight, label=1)).encode(), waiter)
        gathered.close(8, Schema(), lambda _: np.empty(0, np.intp))
        assert gathered.what.batch.weights.tolist() == [10, 3]
        gathered.give_back(Applied(2, 2, None), None)
        return [await waiter for waiter in waiting]

    first, heavy, last = asyncio.run(learn())
    assert (first.sequence, heavy, last.sequence) == (1, None, 2)


def test_nothing_changes_where_nothing_is_too_heavy() -> None:
    batch = Batch.from_dicts([{"a": 1.0}] * 3, [1, 0, 1], [0, 1, 1000.1])
    parsed = Parsed(batch, np.arange(1, 4), (), 3)
    assert teachable(parsed, 8, 1000.1, labelled=True) is parsed  # as float32, which weights are
    assert teachable(parsed, 8, 1000, labelled=False) is parsed
    kept = teachable(parsed, 8, 1000, labelled=True)
    assert kept.lines.tolist() == [1, 2]
    assert [error.line for error in kept.errors] == [3]
    assert named(batch).tolist() == [False] * 3
    assert len(teachable(Parsed(Batch.empty(), np.empty(0, np.int64), (), 0), 8, 1, labelled=True).batch) == 0
