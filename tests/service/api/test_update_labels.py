"""Updates whose id is that of a prediction: its label, by whatever door they come, learned from once."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from command_line import nonzero
from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.writer.fold import apply
from waiting import until

Start = Callable[..., Any]
PATH = "/v1/models/default"
JSON, NDJSON, VW, CSV = "application/json", "application/x-ndjson", "text/x-vw", "text/csv"
MINE: Final = {"site": "mine", "ad": "7"}
"""What updates send: never learned from where their id is an impression's."""


@pytest.fixture
def negatives() -> str:
    """Clicks are learned from when they come, and so tell when that was; others are tried beside this."""
    return "at_end"


def predict(client: httpx.Client, model: str, *ids: str) -> None:
    rows = [{"features": {"site": name}, "id": name} for name in ids]
    assert client.post(f"{model}/predict", json={"examples": rows}).status_code == 200


def an_update(name: str | None, label: int = 1, features: dict[str, Any] = MINE) -> dict[str, Any]:
    return {"features": features, "label": label} | ({} if name is None else {"id": name})


def one(*rows: dict[str, Any]) -> tuple[str, bytes]:
    return JSON, json.dumps(rows[0]).encode()


def listed(*rows: dict[str, Any]) -> tuple[str, bytes]:
    return JSON, json.dumps({"examples": rows}).encode()


def lines(*rows: dict[str, Any]) -> tuple[str, bytes]:
    return NDJSON, b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def tagged(*rows: dict[str, Any]) -> tuple[str, bytes]:
    """The same as VW text, where the id is the tag."""
    texts = []
    for row in rows:
        features = " ".join(f"{field}={value}" for field, value in row["features"].items())
        texts.append(f"{row['label']} {row.get('id', '')}| {features}\n")
    return VW, "".join(texts).encode()


def tabled(*rows: dict[str, Any]) -> tuple[str, bytes]:
    """The same as CSV, the query naming the column of the id."""
    fields = list(dict.fromkeys(field for row in rows for field in row["features"]))
    texts = [",".join(["label", "imp", *fields])]
    for row in rows:
        cells = [str(row["features"].get(field, "")) for field in fields]
        texts.append(",".join([str(row["label"]), row.get("id", ""), *cells]))
    return CSV, "\n".join(texts).encode()


Door = Callable[..., tuple[str, bytes]]
DOORS: Final[tuple[Door, ...]] = (one, listed, lines, tagged, tabled)


def update(
    client: httpx.Client, model: str, sent: tuple[str, bytes], key: str | None = None
) -> httpx.Response:
    headers = {"content-type": sent[0]} | ({} if key is None else {"idempotency-key": key})
    query = {"id": "imp"} if sent[0] == CSV else {}
    return client.post(f"{model}/update", content=sent[1], headers=headers, params=query)


def learned(*rows: tuple[dict[str, Any], int]) -> str:
    """The digest of a model of the tests that has learned from these features and labels."""
    expected = LogisticRegression(12, AdaGrad(0.1))
    expected.learn(Batch.from_dicts([features for features, _ in rows], [label for _, label in rows]))
    return expected.digest()


def digest(client: httpx.Client, model: str, place: Path) -> str:
    client.post(f"{model}/snapshots")
    place.write_bytes(client.get(f"{model}/snapshots/latest").content)
    return LogisticRegression.load(place).digest()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("key", [None, "k"], ids=["without key", "with key"])
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_an_update_teaches_what_was_predicted_once(
    client: httpx.Client, model: str, tmp_path: Path, door: Door, key: str | None
) -> None:
    predict(client, model, "a")
    first = update(client, model, door(an_update("a", 1)), key)
    assert first.status_code == 200
    answer = first.json()
    assert (answer["accepted"], answer["sequence"], answer["labels"]) == (1, 1, {"joined": 1})
    for label, verdict in ((1, "duplicate"), (0, "conflicting")):
        again = update(client, model, door(an_update("a", label)), key and f"{key}{label}")
        assert again.status_code == 200
        answer = again.json()
        assert (answer["accepted"], answer["rejected"], answer["labels"]) == (0, 0, {verdict: 1})
    if key is not None:
        assert update(client, model, door(an_update("a", 1)), key).json() == first.json() | {"replayed": 1}
    assert client.post(f"{model}/labels", json={"id": "a", "label": 1}).status_code == 409
    assert client.get(model).json()["sequence"] == 1
    assert digest(client, model, tmp_path / "model") == learned(({"site": "a"}, 1))


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_an_id_that_was_not_predicted_is_learned_from_as_it_comes(
    client: httpx.Client, model: str, tmp_path: Path, door: Door
) -> None:
    predict(client, model, "other")
    for _ in range(2):
        answer = update(client, model, door(an_update("new", 1))).json()
        assert answer["accepted"] == 1
        assert "labels" not in answer
    # An id that came with an update is no impression either.
    assert client.post(f"{model}/labels", json={"id": "new", "label": 1}).status_code == 404
    assert digest(client, model, tmp_path / "model") == learned(*[(MINE, 1)] * 2)


@pytest.mark.parametrize("door", [listed, lines, tagged], ids=lambda door: door.__name__)
def test_labels_among_other_examples_keep_their_place(
    client: httpx.Client, model: str, tmp_path: Path, door: Door
) -> None:
    predict(client, model, *"abcde")
    client.post(f"{model}/labels", json={"id": "e", "label": 0})
    sent = [("b", 1), (None, 0), ("x", 1), ("a", 0), ("e", 0), (None, 1), ("b", 1), ("c", 1), ("a", 1)]
    rows = [an_update(name, label, {"own": str(n)}) for n, (name, label) in enumerate(sent)]
    answer = update(client, model, door(*rows)).json()
    assert answer["labels"] == {"joined": 3, "duplicate": 2, "conflicting": 1}
    assert (answer["accepted"], answer["rejected"], answer["sequence"]) == (6, 0, 7)
    assert digest(client, model, tmp_path / "model") == learned(
        ({"site": "e"}, 0),
        ({"site": "b"}, 1),
        ({"own": "1"}, 0),
        ({"own": "2"}, 1),
        ({"site": "a"}, 0),
        ({"own": "5"}, 1),
        ({"site": "c"}, 1),
    )


def test_the_same_label_from_many_at_once_is_learned_from_once(client: httpx.Client, model: str) -> None:
    predict(client, model, "a")
    answers: list[httpx.Response] = []

    def send(door: Door) -> None:
        answers.append(update(client, model, door(an_update("a"))))

    threads = [threading.Thread(target=send, args=(DOORS[n % 4],)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 16
    verdicts = sorted(next(iter(answer.json()["labels"])) for answer in answers)
    assert verdicts == ["duplicate"] * 15 + ["joined"]
    assert client.get(model).json()["sequence"] == 1


def test_a_list_with_a_bad_example_labels_nothing(client: httpx.Client, model: str) -> None:
    predict(client, model, "a")
    bad = an_update("a") | {"weight": -1}
    assert update(client, model, listed(an_update("a"), bad)).status_code == 422
    assert update(client, model, one(an_update("a"))).json()["labels"] == {"joined": 1}


def told(client: httpx.Client, line: str) -> bool:
    return line in client.get("/metrics").text


def test_a_window_that_has_ended_is_corrected_by_a_click(clocked: Start) -> None:
    running = clocked(negatives="at_end", attribution_seconds=100, correction_seconds=1000)
    with running.until_ready().client() as client:
        predict(client, PATH, "a", "b", "c", "d")
        assert update(client, PATH, one(an_update("a", 0))).json()["labels"] == {"joined": 1}
        running.clock.pass_by(101)
        until(lambda: client.get(PATH).json()["sequence"] == 4)
        answer = update(client, PATH, tagged(an_update("b", 1), an_update("c", 0))).json()
        assert (answer["accepted"], answer["sequence"]) == (1, 5)
        assert answer["labels"] == {"corrected": 1, "duplicate": 1}
        for line in (
            'nonzero_update_labels_total{model="default",verdict="joined"} 1.0',
            'nonzero_update_labels_total{model="default",verdict="corrected"} 1.0',
            'nonzero_update_labels_total{model="default",verdict="duplicate"} 1.0',
            'nonzero_impressions_total{model="default",outcome="expired"} 3.0',
            'nonzero_pending_labels{model="default"} 0.0',
        ):
            assert told(client, line), line
        running.clock.pass_by(1000)
        gone = update(client, PATH, one(an_update("d", 1))).json()
        assert (gone["accepted"], gone["labels"]) == (0, {"gone": 1})
        assert client.get(PATH).json()["sequence"] == 5


def test_kills_and_a_pause_change_nothing(start: Start, tmp_path: Path) -> None:
    """Labels among other examples are held as these are; a repeat is recognised, and the fold is the same."""
    settings = {"journal_retention": "all", "bits": 12, "learning_rate": 0.1}
    running = start(negatives="at_end", **settings).until_ready()
    calm = [an_update(None, int(n % 10 == 0), {"site": str(n % 50)}) for n in range(12_000)]
    jump = [an_update(None, 1, {"site": str(n % 50)}) for n in range(3000)]
    with running.client() as client:
        predict(client, PATH, *(f"i{n}" for n in range(100)))
        for row in range(0, 100, 2):
            calm[100 * row]["id"] = f"i{row}"
        answer = update(client, PATH, lines(*calm), "calm").json()
        assert (answer["accepted"], answer["labels"]) == (12_000, {"joined": 50})
        for row in range(1, 100, 2):
            jump[30 * row]["id"] = f"i{row}"
        sent = calm + jump
        paused = update(client, PATH, lines(*jump), "jump")
        assert paused.status_code == 202
        assert paused.json()["labels"] == {"joined": 50}
        accepted, held = paused.json()["accepted"], paused.json()["held"]
        assert accepted + held == 3000
        assert held
    running.stop(signal.SIGKILL)
    running = start(negatives="at_end", **settings).until_ready()
    with running.client() as client:
        assert told(client, 'nonzero_pending_labels{model="default"} 0.0')
        assert update(client, PATH, lines(*jump), "jump").json() == paused.json() | {"replayed": 3000}
        for row in (0, 1, 98, 99):
            again = update(client, PATH, one(an_update(f"i{row}", 1)))
            assert set(again.json()["labels"]) <= {"duplicate", "conflicting"}
        assert client.post(f"{PATH}/resume").json()["applied"] == held
        assert client.get(PATH).json()["sequence"] == 15_000
    assert running.stop() == 0
    directory = tmp_path / "data" / "models" / "default"
    folded = LogisticRegression(12, AdaGrad(0.1))
    with JournalReader(directory) as reader:
        for entry in reader.read():
            apply(folded, entry, reader.read)
    rows = [({"site": each["id"]} if "id" in each else each["features"], each["label"]) for each in sent]
    saved = LogisticRegression.load(SnapshotFolder(directory / "snapshots").all()[0].path)
    assert saved.digest() == folded.digest() == learned(*rows)
    assert nonzero("verify", tmp_path / "data").returncode == 0


def test_a_stream_that_broke_off_may_be_sent_again(start: Start) -> None:
    """What was a label in the first try is one in the second, and nothing is taught twice."""
    rows = [an_update(f"i{n}" if n % 3 else None, n % 2, {"own": str(n % 7)}) for n in range(60_000)]
    body = lines(*rows)[1]
    headers = {"content-type": NDJSON, "idempotency-key": "k"}
    running = start(negatives="at_end", breaker="off").until_ready()
    with running.client() as client:
        predicted = lines(*({"features": {"site": str(n)}, "id": f"i{n}"} for n in range(0, 60_000, 2)))[1]
        client.post(f"{PATH}/predict", content=predicted, headers={"content-type": NDJSON})

        def broken() -> Any:
            yield body[: len(body) // 2]
            with running.client() as other:
                until(lambda: other.get(PATH).json()["sequence"] > 0)
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            client.post(f"{PATH}/update", content=broken(), headers=headers)
    running.stop(signal.SIGKILL)
    running = start(negatives="at_end", breaker="off").until_ready()
    with running.client() as client:
        begun = client.get(PATH).json()["sequence"]
        answer = client.post(f"{PATH}/update", content=body, headers=headers).json()
        assert 0 < begun == answer["replayed"] < 60_000
        assert answer["sequence"] == client.get(PATH).json()["sequence"] == 60_000
        assert told(client, 'nonzero_pending_labels{model="default"} 10000.0')
