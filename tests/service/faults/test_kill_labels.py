"""kill -9 between predictions and their labels: every label is joined once, whatever was in flight."""

from __future__ import annotations

import http.client
import json
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import decode_joined
from nonzero_service.impressions.rows import decode_row
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.verifying import verify
from service.conftest import ServiceProcess, Start
from service.faults.clients import PATH
from service.faults.invariants import silent
from waiting import until

AT_ONCE = 40
SETTINGS = {"journal_retention": "all", "impressions": "durable", "breaker": "off"}


class Labeller:
    """A client that predicts with ids and labels what it predicted five requests ago.

    What is not answered is sent again: nothing of it may be learned from twice.
    """

    def __init__(self) -> None:
        self.predicted = self.labelled = 0
        self.refused: list[Any] = []

    def run(self, service: ServiceProcess, until: threading.Event) -> None:
        connection = http.client.HTTPConnection(service.host, service.port, timeout=30)
        try:
            while not until.is_set():
                self.predict(connection)
                if self.predicted - self.labelled > 5:
                    self.label(connection)
        except (OSError, http.client.HTTPException):
            pass  # it was killed
        finally:
            connection.close()

    def predict(self, connection: http.client.HTTPConnection) -> None:
        rows = [{"features": {"site": f"s{j % 7}"}, "id": name} for j, name in enumerate(ids(self.predicted))]
        answer = posted(connection, "predict", {"examples": rows})
        assert len(answer["predictions"]) == AT_ONCE
        self.predicted += 1

    def label(self, connection: http.client.HTTPConnection) -> None:
        n = self.labelled
        labels = [{"id": name, "label": label_of(n, j)} for j, name in enumerate(ids(n))]
        answer = posted(connection, "labels", {"labels": labels})
        self.refused += [error for error in answer["errors"] if "known already" not in error["reason"]]
        assert answer["accepted"] + answer["rejected"] == AT_ONCE
        self.labelled += 1


def ids(n: int) -> list[str]:
    return [f"impression-{n}-{j}" for j in range(AT_ONCE)]


def label_of(n: int, j: int) -> int:
    return int((n + j) % 6 == 0)


def posted(connection: http.client.HTTPConnection, route: str, body: dict[str, Any]) -> dict[str, Any]:
    connection.request("POST", f"{PATH}/{route}", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    found: dict[str, Any] = json.loads(content)
    return found


@pytest.mark.sampled(1)
@pytest.mark.parametrize("negatives", ["at_end", "at_once", "window"])
def test_every_label_is_joined_once(serve: Start, tmp_path: Path, negatives: str) -> None:
    chance, client = random.Random(5), Labeller()
    data_dir = tmp_path / "data"
    for _ in range(6):
        service = serve(data_dir, **SETTINGS, negatives=negatives).until_ready()
        stopping = threading.Event()
        thread = threading.Thread(target=client.run, args=(service, stopping))
        thread.start()
        done = client.predicted + client.labelled + chance.randrange(1, 25)
        until(lambda done=done: client.predicted + client.labelled >= done)  # type: ignore[misc]
        assert service.kill() == -9
        stopping.set()
        thread.join()
    service = serve(data_dir, **SETTINGS, negatives=negatives).until_ready()
    connection = http.client.HTTPConnection(service.host, service.port, timeout=30)
    while client.labelled < client.predicted:
        client.label(connection)
    connection.close()
    assert service.kill() == -9
    assert client.labelled > 20
    assert client.refused == []

    names = [name for n in range(client.labelled) for name in ids(n)]
    expected = {
        int(h): label_of(k // AT_ONCE, k % AT_ONCE)
        for k, h in enumerate(hashes_of(Ids.of(names), np.arange(len(names))))
    }
    joined: list[tuple[int, int]] = []
    noted: list[tuple[int, int]] = []
    kept: list[int] = []
    taught: list[int] = []
    directory = data_dir / "models" / "default"
    with JournalReader(directory) as reader:
        for row in reader.read():
            if row.kind == "joined":
                batch, references = decode_joined(row.body)
                joined += zip(references.hashes.tolist(), batch.labels.astype(int).tolist(), strict=True)
            elif row.kind == "label":
                references = decode_joined(row.body)[1]
                ones = (references.states == ImpressionState.ONE_WAITS).astype(int)
                noted += zip(references.hashes.tolist(), ones.tolist(), strict=True)
            elif row.kind == "impression":
                impressions = decode_row(row.body)
                kept += impressions.hashes.tolist()
                taught += impressions.hashes[impressions.taught].tolist()
    # Each prediction that was answered, and such as a kill left without its answer, is kept once.
    assert len(set(kept)) == len(kept)
    assert set(kept) >= expected.keys()
    if negatives == "at_end":
        assert (len(joined), dict(joined)) == (len(expected), expected)
    elif negatives == "window":  # none has ended
        assert (joined, len(noted), dict(noted)) == ([], len(expected), expected)
    else:
        clicks = [h for h, label in joined if label]
        assert sorted(clicks) == sorted(h for h, label in expected.items() if label)
        waited = [h for h, label in joined if not label]
        assert len({*taught, *waited}) == len(taught) + len(waited), "no negative is learned from twice"
    assert verify(directory, silent).faults == []
