"""Labels that come after their predictions: answered as documented, joined once, whatever happens between."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nonzero import Batch, LogisticRegression, formats
from nonzero_service.impressions.joined import decode_joined
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.writer.entries import start_of
from nonzero_service.writer.fold import apply
from real_data import unpacked
from waiting import until

Start = Callable[..., Any]
PATH = "/v1/models/default"
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
def negatives() -> str:
    """Clicks are learned from when they come, and so tell when that was; others are tried beside this."""
    return "at_end"


def predict(client: httpx.Client, model: str, *ids: str) -> None:
    rows = [{"features": {"site": name}, "id": name} for name in ids]
    assert client.post(f"{model}/predict", json={"examples": rows}).status_code == 200


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_label_is_learned_from_with_the_features_of_its_prediction(
    client: httpx.Client, model: str
) -> None:
    features = {"site": "news", "bid": 0.5, "tags": ["a", "b"]}
    client.post(f"{model}/predict", json={"features": features, "id": "imp-1", "weight": 2})
    answer = client.post(f"{model}/labels", json={"id": "imp-1", "label": 1})
    assert answer.status_code == 200
    assert answer.json() == {
        "model": model.rpartition("/")[2],
        "accepted": 1,
        "corrected": 0,
        "rejected": 0,
        "errors": [],
        "sequence": 1,
    }
    learned = client.post(f"{model}/predict", json={"features": features}).json()
    twin = f"{model}-twin"
    client.put(twin, json={"bits": 12, "learning_rate": 0.1})
    client.post(f"{twin}/update", json={"features": features, "label": 1, "weight": 2})
    assert (
        client.post(f"{twin}/predict", json={"features": features}).json()["predictions"]
        == (learned["predictions"])
    )
    client.delete(twin)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("label", "status"),
    [
        ({"id": "b", "label": 1}, 404),
        ({"id": "a", "label": 1}, 409),
        ({"id": "a", "label": 0}, 409),
        ({"id": "a"}, 422),
        ({"id": "a", "label": 2}, 422),
        ({"id": "a", "label": 1, "weight": 2}, 422),
        ({"id": "", "label": 1}, 422),
        ({"labels": 7}, 422),
        ({"labels": [{"id": "c", "label": 1}, {"id": 7, "label": 1}]}, 422),
        (7, 422),
    ],
)
def test_a_label_that_changes_nothing_says_why(
    client: httpx.Client, model: str, label: object, status: int
) -> None:
    predict(client, model, "a", "c")
    assert client.post(f"{model}/labels", json={"id": "a", "label": 1}).status_code == 200
    answer = client.post(f"{model}/labels", json=label)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get(model).json()["sequence"] == 1


def test_of_several_labels_each_that_changes_nothing_is_named(client: httpx.Client, model: str) -> None:
    predict(client, model, "a", "b")
    labels = [
        {"id": "a", "label": 1},
        {"id": "z", "label": 1},
        {"id": "b", "label": 0},
        {"id": "a", "label": 0},
    ]
    answer = client.post(f"{model}/labels", json={"labels": labels}).json()
    assert (answer["accepted"], answer["rejected"], answer["sequence"]) == (2, 2, 2)
    assert [(error["line"], error["status"]) for error in answer["errors"]] == [(2, 404), (4, 409)]


@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson"])
def test_labels_of_which_nothing_is_learned_are_refused(client: httpx.Client, model: str, media: str) -> None:
    def post(*rows: dict[str, Any]) -> httpx.Response:
        body = lines([*rows]) if media in NDJSON.values() else json.dumps({"labels": rows}).encode()
        return client.post(f"{model}/labels", content=body, headers={"content-type": media})

    predict(client, model, "a", "b")
    unknown, known = {"id": "z", "label": 1}, {"id": "a", "label": 1}
    answer = post(unknown, {"id": "y", "label": 0})
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["accepted"], problem["rejected"], problem["sequence"]) == (0, 2, 0)
    assert [(error["line"], error["status"]) for error in problem["errors"]] == [(1, 404), (2, 404)]
    assert post(unknown, known).status_code == 200
    # What is sent again is known already: it was learned.
    again = post(unknown, known)
    assert (again.status_code, again.json()["accepted"], again.json()["rejected"]) == (200, 0, 2)
    assert post({"id": "a", "label": 0}).status_code == 422
    assert post().json()["accepted"] == 0
    assert client.get(model).json()["sequence"] == 1


def test_a_stream_of_labels(client: httpx.Client, model: str) -> None:
    ids = [f"s{j}" for j in range(3000)]
    body = lines([{"features": {"site": name}, "id": name} for name in ids])
    assert client.post(f"{model}/predict", content=body, headers=NDJSON).status_code == 200
    labels = lines([{"id": name, "label": int(j % 3 == 0)} for j, name in enumerate(ids)])
    sent = b"\xef\xbb\xbf" + labels + b"?\n\n" + labels[:24]  # a byte order mark costs no line
    pieces = (sent[start : start + 997] for start in range(0, len(sent), 997))  # lines are cut anywhere
    answer = client.post(f"{model}/labels", content=pieces, headers=NDJSON).json()
    assert (answer["accepted"], answer["rejected"], answer["sequence"]) == (3000, 3, 3000)
    assert [(error["line"], error["status"]) for error in answer["errors"]] == [
        (3001, 422),
        (3002, 422),
        (3003, 409),
    ]
    assert client.get(f"{model}/metrics").json()["examples"] == 3000


def test_other_types_are_not_read(client: httpx.Client, model: str) -> None:
    answer = client.post(f"{model}/labels", content=b"1 |", headers={"content-type": "text/x-vw"})
    assert answer.status_code == 415


@pytest.mark.parametrize("impressions", ["durable", "buffered"])
def test_the_window_ends_once_and_then_a_click_corrects(clocked: Start, impressions: str) -> None:
    running = clocked(
        negatives="at_end", attribution_seconds=100, correction_seconds=1000, impressions=impressions
    )
    with running.until_ready().client() as client:
        predict(client, PATH, *(f"i{j}" for j in range(100)))
        assert client.post(f"{PATH}/labels", json={"id": "i7", "label": 1}).json()["sequence"] == 1
        running.clock.pass_by(101)
        until(lambda: sequence(client) == 100)
        late = client.post(f"{PATH}/labels", json={"id": "i8", "label": 1}).json()
        assert (late["accepted"], late["corrected"], late["sequence"]) == (1, 1, 101)
        assert client.post(f"{PATH}/labels", json={"id": "i9", "label": 0}).status_code == 409
        told = client.get("/metrics").text
        for line in (
            'nonzero_pending_labels{model="default"} 0.0',
            'nonzero_joined_share{model="default"} 0.01',
            'nonzero_labels_total{model="default",verdict="corrected"} 1.0',
            'nonzero_labels_total{model="default",verdict="duplicate"} 1.0',
            'nonzero_impressions_total{model="default",outcome="expired"} 99.0',
            'nonzero_held_examples{model="default"} 0.0',
        ):
            assert line in told
        running.clock.pass_by(1000)
        assert client.post(f"{PATH}/labels", json={"id": "i9", "label": 1}).status_code == 410
        assert sequence(client) == 101


def sequence(client: httpx.Client) -> int:
    return int(client.get(PATH).json()["sequence"])


class Replay:
    """A click log whose predictions come first and whose labels come after random delays."""

    def __init__(self, rows: int, labelled: float) -> None:
        data = unpacked("criteo_attribution.csv.gz")
        end = [j for j, byte in enumerate(data[: 64 * (rows + 1)]) if byte == 10][rows]
        self.batch = formats.parse(data[: end + 1], "csv", label="click", ignore=["index"])
        names = data[: end + 1].decode().splitlines()
        columns = names[0].split(",")[2:]
        self.rows = [dict(zip(columns, line.split(",")[2:], strict=True)) for line in names[1:]]
        rng = np.random.default_rng(6)
        self.chosen = rng.random(rows) < labelled
        due = np.arange(rows) + rng.exponential(rows / 20, rows)
        self.order = [int(j) for j in np.argsort(due, kind="stable") if self.chosen[j]]
        self.due = due

    def predictions(self, start: int, stop: int) -> bytes:
        return lines([{"features": self.rows[j], "id": f"imp-{j}"} for j in range(start, stop)])

    def labels(self, which: list[int]) -> bytes:
        return lines([{"id": f"imp-{j}", "label": int(self.batch.labels[j])} for j in which])

    def events(self, chunk: int) -> Iterator[tuple[str, bytes, int]]:
        """Yield requests: predictions in order, and labels when they are due."""
        sent = 0
        for first in range(0, len(self.rows), chunk):
            stop = min(first + chunk, len(self.rows))
            yield "predict", self.predictions(first, stop), stop - first
            count = sum(1 for j in self.order[sent:] if self.due[j] < first and j < stop)
            ready = self.order[sent : sent + count]
            if ready:
                yield "labels", self.labels(ready), len(ready)
            sent += count
        yield "labels", self.labels(self.order[sent:]), len(self.order) - sent


def learned(directory: Path) -> tuple[Batch, LogisticRegression]:
    """Return all that the journal learned from impressions, and its fold."""
    batches = []
    with JournalReader(directory) as reader:
        model = LogisticRegression.from_settings(start_of(next(reader.read(1))).settings)
        for row in reader.read():
            apply(model, row)
            if row.kind == "joined":
                batches.append(decode_joined(row.body)[0])
    return Batch.concatenate(batches), model


@pytest.mark.parametrize("rows", [4000, pytest.param(165_152, marks=pytest.mark.soak)])
def test_a_replay_with_a_kill_between_gives_what_an_offline_join_does(
    clocked: Start, tmp_path: Path, rows: int
) -> None:
    replay = Replay(rows, 0.8)
    settings = {"journal_retention": "all", "bits": 16, "negatives": "at_end", "impressions": "durable"}
    running = clocked(**settings).until_ready()
    accepted, killed = 0, False
    client = running.client()
    for route, body, count in replay.events(max(500, rows // 40)):
        answer = client.post(f"{PATH}/{route}", content=body, headers=NDJSON)
        assert answer.status_code == 200
        if route == "labels":
            assert (answer.json()["accepted"], answer.json()["rejected"]) == (count, 0)
            accepted += count
            again = client.post(f"{PATH}/labels", content=body, headers=NDJSON).json()
            assert (again["accepted"], again["rejected"]) == (0, count)
        if not killed and accepted >= 0.6 * len(replay.order):
            killed = True
            assert accepted <= 0.75 * len(replay.order), "thirty of a hundred labels come after the kill"
            running.stop(signal.SIGKILL)
            client.close()
            running = clocked(**settings).until_ready()
            client = running.client()
    assert killed
    assert accepted == len(replay.order)
    client.close()
    running.stop(signal.SIGKILL)
    ending = clocked(4000, **settings).until_ready()
    ending.clock.pass_by(301)  # the grace
    with ending.client() as client:
        until(lambda: sequence(client) == rows)
    assert ending.stop() == 0

    # The offline join: labels in the order in which they were sent, and then the ended windows in theirs.
    order = replay.order + [int(j) for j in np.flatnonzero(~replay.chosen)]
    expected = Batch.concatenate([replay.batch.rows(j, j + 1) for j in order])
    labels = expected.labels.copy()
    labels[len(replay.order) :] = 0
    directory = tmp_path / "data" / "models" / "default"
    found, model = learned(directory)
    assert found.labels.tolist() == labels.tolist()
    assert found.indptr.tolist() == expected.indptr.tolist()
    assert (found.indices == expected.indices).all()
    assert found.fields is not None
    assert (found.fields == expected.fields).all()
    offline = LogisticRegression.from_settings(model.settings)
    offline.learn(Batch(expected.indptr, expected.indices, None, labels, None, expected.fields))
    saved = LogisticRegression.load(SnapshotFolder(directory / "snapshots").all()[0].path)
    assert saved.digest() == model.digest() == offline.digest()
