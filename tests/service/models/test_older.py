"""Data directories of earlier code are opened, and go on to the same bits.

``release_0.1.zip`` holds what that release left when it was killed: the models ``default`` (one lane) and
``mixed`` (eight, with an interaction), of 16 slots each, taught by :func:`teach` from line 0 to 60, with a
snapshot after 40. ``expected.json`` is what the same release then predicted, what after line 100, and the
digests that it came to. That release had no schemas. Newer code cannot make it.

``earlier_0.2.zip`` holds what a state of 0.2 left that compiled its kernels as it ran: four models of 64
slots, with predictions that were labelled, late clicks, and windows that ended. ``ftrl`` is of FTRL; its
learning was paused and went on with what was held, was paused and went on without, and is paused. ``crossed``
has an interaction and a schema, ``lanes`` eight different rules and an interaction. ``expected.json`` is what
that code predicted, and the digests that it came to: of the model, of its journal, and of the model refolded
to 256 slots.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from command_line import nonzero
from nonzero import LogisticRegression
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.rebuilding import rebuild
from nonzero_service.models.verifying import verify
from service.conftest import ServiceProcess
from service.faults.invariants import silent

DATA = Path(__file__).parent / "data"
MODELS = ("default", "mixed")
VW = {"content-type": "text/x-vw"}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return extracted("release_0.1.zip", tmp_path)


def extracted(name: str, place: Path) -> Path:
    with zipfile.ZipFile(DATA / name) as stored:
        stored.extractall(place)
    return place


def lines(begin: int, end: int) -> str:
    return "".join(
        f"{int(k % 5 == 1)} |site s{k % 5} |bid x:{k % 7}.5 kind:text | hour={k % 3} |price {k}\n"
        for k in range(begin, end)
    )


def teach(client: httpx.Client, begin: int, end: int) -> None:
    for model in MODELS:
        route = f"/v1/models/{model}/update"
        taught = client.post(route, content=lines(begin, end), headers=VW)
        assert taught.json()["accepted"] == end - begin
        for k in range(begin, end, 10):
            features = {"site": f"s{k % 5}", "bid": k / 3, "new": True, "tags": ["a", "b"]}
            example = {"features": features, "label": k % 2, "weight": 0.5}
            assert client.post(route, json={"examples": [example]}).status_code == 200


def ask(client: httpx.Client, model: str) -> list[float]:
    route = f"/v1/models/{model}/predict"
    asked = "".join(line[2:] + "\n" for line in lines(0, 6).splitlines())
    streamed = client.post(route, content=asked, headers=VW).text.splitlines()
    features = {"site": "s1", "bid": 2.5, "new": True, "tags": ["a"]}
    whole = client.post(route, json={"features": features}).json()["predictions"]
    return [json.loads(line)["probability"] for line in streamed] + [whole[0]["probability"]]


def test_it_is_opened_and_learns_on_as_the_release_that_made_it(
    start: Callable[..., ServiceProcess], older: Path
) -> None:
    expected: dict[str, Any] = json.loads((older / "expected.json").read_text())
    data = older / "data"
    assert nonzero("verify", data).returncode == 0
    running = start(data, journal_retention="all").until_ready()
    with running.client() as client:
        for model in MODELS:
            assert client.get(f"/v1/models/{model}").json()["settings"] == expected["settings"][model]
            assert ask(client, model) == expected["before"][model]
        teach(client, 60, 100)
        for model in MODELS:
            assert ask(client, model) == expected["after"][model]
            assert client.post(f"/v1/models/{model}/snapshots").status_code == 201
            snapshot = older / model
            snapshot.write_bytes(client.get(f"/v1/models/{model}/snapshots/latest").content)
            taken = LogisticRegression.load(snapshot)
            assert taken.digest() == expected["digests"][model]
            assert (taken.schema.namespace_separator, taken.version) == ("^", 1)
    warned = [line for line in running.log if line["event"] == "a stored setting wins"]
    assert {"namespace_separator", "bits"} <= {
        line["setting"] for line in warned if line["model"] == "default"
    }
    assert running.stop() == 0
    sound = nonzero("verify", data)
    assert sound.returncode == 0, sound.stdout
    for model in MODELS:
        assert expected["digests"][model] in sound.stdout
    again = start(data).until_ready()
    with again.client() as client:
        assert ask(client, "mixed") == expected["after"]["mixed"]
    assert again.stop() == 0


def test_it_is_refolded_by_its_own_names(older: Path) -> None:
    folded = nonzero(
        "refold", older / "data", "--bits", "5", "--model", "mixed", "--output", older / "larger"
    )
    assert folded.returncode == 0, folded.stderr
    settings = json.loads((older / "expected.json").read_text())["settings"]["mixed"]
    assert LogisticRegression.load(older / "larger").settings == settings | {"bits": 5}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    return extracted("earlier_0.2.zip", tmp_path)


def test_pauses_rules_interactions_and_late_clicks_fold_to_the_same_bits(earlier: Path) -> None:
    expected = json.loads((earlier / "expected.json").read_text())
    kinds: dict[str, set[str]] = {}
    for name, told in expected.items():
        directory = earlier / "data/models" / name
        checked = verify(directory, silent)
        assert checked.faults == []
        assert checked.journal is not None
        assert checked.journal.digest.hex() == told["journal"]
        assert (checked.journal.sequence, checked.digest) == (told["sequence"], told["digest"])
        assert rebuild(directory, 8, silent).digest() == told["refolded"]
        with JournalReader(directory) as reader:
            kinds[name] = {row.kind for row in reader.read()}
    assert {"trip", "held", "resume"} <= kinds.pop("ftrl")
    assert all("joined" in one for one in kinds.values())


def test_what_is_paused_stays_so_and_its_clients_are_answered_as_before(
    start: Callable[..., ServiceProcess], earlier: Path
) -> None:
    expected = json.loads((earlier / "expected.json").read_text())
    running = start(earlier / "data", journal_retention="all").until_ready()
    asked = [{"features": {"site": f"s{i % 7}", "hour": f"h{i % 4}", "bid": i / 3}} for i in range(12)]
    with running.client() as client:
        for name, told in expected.items():
            answer = client.post(f"/v1/models/{name}/predict", json={"examples": asked}).json()
            assert [one["probability"] for one in answer["predictions"]] == told["predicted"], name
        held = {"features": {"site": "s1"}, "label": 1}
        assert client.post("/v1/models/ftrl/update", json=held).status_code == 202
        went_on = client.post("/v1/models/ftrl/resume").json()
        assert (went_on["applied"], went_on["sequence"]) == (332, expected["ftrl"]["sequence"] + 332)
    assert running.stop() == 0
