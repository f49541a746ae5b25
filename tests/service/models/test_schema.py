"""A served model's schema: every route reads by it, another process too, and a start brings it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from command_line import nonzero
from nonzero import LogisticRegression, formats
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.writer import fold
from nonzero_service.writer.entries import batch_entry, settings_entry
from service.conftest import ServiceProcess
from service.labelling import LABELLING

SAID = {"site": "category", "bid": "number", "request_id": "ignore"}
SAFETENSORS = {"content-type": "application/vnd.safetensors"}
VW = {"content-type": "text/x-vw"}
NDJSON = {"content-type": "application/x-ndjson"}


def put(client: httpx.Client, path: Path, name: str = "said", **settings: Any) -> str:
    """Upload a model of these settings, which has learned nothing; return its path."""
    LogisticRegression(bits=12, **settings).save(path)
    route = f"/v1/models/{name}"
    assert client.put(route, content=path.read_bytes(), headers=SAFETENSORS).status_code == 201
    return route


def probabilities(client: httpx.Client, route: str) -> list[float]:
    """What is predicted for one example, as every body writes it."""
    rows = [
        {"site": 7, "bid": "0.5", "request_id": [1]},
        {"site": "7", "bid": 0.5},
        {"site": 7.0, "bid": 0.5, "request_id": "x"},
    ]
    single = [client.post(f"{route}/predict", json={"features": row}).json() for row in rows]
    listed = client.post(f"{route}/predict", json={"examples": [{"features": row} for row in rows]}).json()
    lines = "\n".join(json.dumps({"features": row}) for row in rows)
    streamed = client.post(f"{route}/predict", content=lines, headers=NDJSON).text.splitlines()
    text = client.post(f"{route}/predict", content="|site 7 |bid 0.5 |request_id x\n", headers=VW).text
    explained = client.post(f"{route}/explain", json={"features": rows[0]}).json()
    assert [(part["feature"], part["value"]) for part in explained["contributions"]] == [
        ("site=7", 1),
        ("bid", 0.5),
    ]
    return [
        *(answer["predictions"][0]["probability"] for answer in (*single,)),
        *(one["probability"] for one in listed["predictions"]),
        *(json.loads(line)["probability"] for line in (*streamed, text)),
    ]


def learn(client: httpx.Client, route: str) -> None:
    """Learn the same of the same features through every body of updates."""
    for k in range(6):
        label = int(k % 2)
        row = {"features": {"site": 7 if label else 8, "bid": "0.5", "request_id": k}, "label": label}
        assert client.post(f"{route}/update", json=row).status_code == 200
        assert client.post(f"{route}/update", json={"examples": [row]}).json()["accepted"] == 1
        assert client.post(f"{route}/update", content=json.dumps(row), headers=NDJSON).json()["accepted"] == 1
        line = f"{label} |site {7 if label else 8} |bid 0.5 |request_id {k}\n"
        assert client.post(f"{route}/update", content=line, headers=VW).json()["accepted"] == 1


@pytest.mark.sampled(1)
@pytest.mark.parametrize("workers", [1, 2])
def test_every_route_reads_by_it_and_so_it_is_after_a_start(
    start: Callable[..., ServiceProcess], tmp_path: Path, workers: int
) -> None:
    running = start(workers=workers).until_ready()
    with running.client() as client:
        route = put(client, tmp_path / "m", schema=SAID, default="refuse")
        settings = client.get(route).json()["settings"]
        assert settings["schema"] == {"fields": dict(sorted(SAID.items())), "default": "refuse"}
        assert settings["namespace_separator"] == "="
        learn(client, route)
        found = probabilities(client, route)
        assert max(found) - min(found) < 1e-6
        assert found[0] > 0.55
        refused = client.post(f"{route}/update", json={"features": {"sites": "a"}, "label": 1})
        assert refused.status_code == 422
        assert "did you mean 'site'" in refused.json()["detail"]
        wrong = client.post(f"{route}/update", json={"features": {"bid": "cheap"}, "label": 1})
        assert "the feature 'bid' is a number, says the schema" in wrong.json()["detail"]
    assert running.stop() == 0
    if workers > 1:
        return
    again = start(workers=workers).until_ready()
    with again.client() as client:
        assert client.get(route).json()["settings"] == settings
        assert probabilities(client, route) == found
    assert again.stop() == 0


def test_a_model_that_is_older_keeps_its_names(client: httpx.Client, tmp_path: Path) -> None:
    route = put(client, tmp_path / "m", "older", namespace_separator="^", version=1)
    assert set(client.get(route).json()["settings"]) == {"bits", "lanes", "scaled"} | LABELLING.keys()
    client.post(f"{route}/update", content="1 |site news\n" * 30, headers=VW)
    older = client.post(f"{route}/predict", content="|site news\n", headers=VW).json()["probability"]
    unseen = client.post(f"{route}/predict", json={"features": {"site": "news"}}).json()
    assert older > unseen["predictions"][0]["probability"]
    client.delete(route)


def test_a_model_is_made_with_a_schema_and_made_again_it_is_the_same(client: httpx.Client) -> None:
    route = "/v1/models/made-with-schema"
    said = {"fields": {"site": "category", "bid": "number", "*_id": "ignore"}, "default": "infer"}
    made = client.put(route, json={"bits": 8, "schema": said})
    assert made.status_code == 201
    shown = client.get(route).json()["settings"]
    assert shown["schema"] == {**said, "fields": dict(sorted(said["fields"].items()))}  # type: ignore[attr-defined]
    assert shown["namespace_separator"] == "="
    turned = {"fields": dict(reversed(list(said["fields"].items())))}  # type: ignore[attr-defined]
    for same in ({"schema": said}, {"schema": turned}, {"namespace_separator": "="}, {}):
        assert client.put(route, json=same).status_code == 200
    other = {"fields": {"site": "category", "bid": "category"}, "default": "refuse"}
    refused = client.put(route, json={"schema": other})
    assert refused.status_code == 409
    for part in ("'bid': 'number'", "'bid': 'category'", "'*_id': None", "'default': 'refuse'"):
        assert part in refused.json()["detail"]
    older = client.put(route, json={"namespace_separator": "^"})
    assert older.status_code == 409
    assert "namespace_separator is '=', not '^'" in older.json()["detail"]
    # What a table's text said, JSON finds.
    csv = "".join(f"{int(k % 5 == 1)} |site {k % 5} |bid 0.5 |r_id {k}\n" for k in range(200))
    assert client.post(f"{route}/update", content=csv, headers=VW).json()["accepted"] == 200
    found = {
        client.post(f"{route}/predict", json={"features": {"site": site, "bid": bid}}).text
        for site, bid in (("1", 0.5), (1, "0.5"), (1.0, 0.5))
    }
    assert len(found) == 1
    assert json.loads(found.pop())["predictions"][0]["probability"] > 0.4
    client.delete(route)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"schema": {"fields": {"site": "text"}}}, "schema"),
        ({"schema": {"fields": {"": "number"}}}, "schema"),
        ({"schema": {"fields": {"\u0159" * 200: "number"}}}, "a name of 400 bytes"),
        ({"schema": {"site": "category"}}, "schema"),
        ({"shema": {}}, "there is no 'shema' here; did you mean 'schema'?"),
        ({"schema": {"fields": {}, "default": "ignore"}}, "schema"),
        ({"namespace_separator": ":"}, "namespace_separator"),
        (
            {"schema": {"fields": {"site": "category", "hour": "number"}, "default": "refuse"},
             "interactions": ["site*hours"]},
            "the interaction 'site*hours': the field 'hours' is not in the model's schema, which refuses "
            "others; did you mean 'hour'?",
        ),
        (
            {"schema": {"fields": {"*_id": "ignore"}}, "interactions": ["site*ad_id"]},
            "the schema ignores the field 'ad_id'",
        ),
    ],
)  # fmt: skip
def test_a_schema_that_says_nothing_clear_is_refused(
    client: httpx.Client, settings: dict[str, Any], reason: str
) -> None:
    answer = client.put("/v1/models/refused-schema", json={"bits": 4, **settings})
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert client.get("/v1/models/refused-schema").status_code == 404


def test_the_service_says_what_fields_are_of_models_made_without_and_stored_settings_win(
    start: Callable[..., ServiceProcess], tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    said = {"fields": {"bid": "number", "site": "category"}, "default": "refuse"}
    file.write_text(json.dumps(said))
    said_so = {"schema": str(file), "namespace_separator": "^", "journal_retention": "all"}
    first = start(bits=4, **said_so).until_ready()
    with first.client() as client:
        settings = client.get("/v1/models/default").json()["settings"]
        assert settings["schema"] == said
        own = {"schema": {"fields": {"ad": "category"}}, "namespace_separator": "="}
        assert client.put("/v1/models/own", json={"bits": 4, **own}).status_code == 201
    assert first.stop() == 0
    shown = json.loads(nonzero("inspect", tmp_path / "data", "--json").stdout)
    assert shown["default"]["settings"] == settings
    folded = nonzero("refold", tmp_path / "data", "--bits", "5", "--output", tmp_path / "larger")
    assert folded.returncode == 0
    assert LogisticRegression.load(tmp_path / "larger").settings | LABELLING == settings | {"bits": 5}
    # The same, as JSON and with another order of names, is no difference.
    same = '{"default": "refuse", "fields": {"site": "category", "bid": "number"}}'
    again = start(schema=same, namespace_separator="^").until_ready()
    assert not warned(again, "schema", "namespace_separator")
    assert again.stop() == 0
    other = start(schema='{"site": "ignore"}').until_ready()
    with other.client() as client:
        assert client.get("/v1/models/default").json()["settings"] == settings
    assert warned(other, "schema", "namespace_separator") == [
        ("default", "namespace_separator", "^", "="),
        (
            "default",
            "schema",
            {"fields": {"bid": "number", "site": "category"}, "default": "refuse"},
            {"fields": {"bid": None, "site": "ignore"}, "default": "infer"},
        ),
    ]
    assert other.stop() == 0


def warned(service: ServiceProcess, *settings: str) -> list[tuple[Any, ...]]:
    """Return the differences that a start has warned of."""
    found = [line for line in service.log if line["event"] == "a stored setting wins"]
    return sorted(
        (line["model"], line["setting"], line["stored"], line["wanted"])
        for line in found
        if line["setting"] in settings
    )


def test_a_trained_file_brings_its_schema(start: Callable[..., ServiceProcess], tmp_path: Path) -> None:
    model = LogisticRegression(bits=6, schema={"site": "category"}, namespace_separator="^")
    model.learn_one({"site": 1}, 1)
    model.save(tmp_path / "trained")
    running = start(import_file=str(tmp_path / "trained"), schema='{"bid": "number"}').until_ready()
    with running.client() as client:
        assert client.get("/v1/models/default").json()["settings"] == model.settings | LABELLING
        assert client.put("/v1/models/default", json={"schema": {"fields": {"site": "category"}}}).is_success
        assert client.put("/v1/models/default", json={"schema": {"fields": {}}}).status_code == 409
    assert [line[1:] for line in warned(running, "schema")] == [
        ("schema", {"fields": {"bid": None, "site": "category"}}, {"fields": {"bid": "number", "site": None}})
    ]
    assert running.stop() == 0


def test_a_journal_from_before_there_were_schemas_is_folded_by_the_older_names(tmp_path: Path) -> None:
    lanes = LogisticRegression(bits=6).settings["lanes"]
    older = {"bits": 6, "lanes": lanes, "scaled": True}  # what a journal of 0.1 begins with
    model = LogisticRegression.from_settings(older)
    batch = formats.parse(b"1 |site news\n0 |site blog\n", "vw", schema=model.schema)
    with SqliteJournal(tmp_path) as journal:
        entry = settings_entry(model)
        assert json.loads(entry.body)["settings"] == older
        journal.append([entry, batch_entry(batch)])
    model.learn(batch)
    again = LogisticRegression.from_settings(older)
    with JournalReader(tmp_path) as reader:
        for row in reader.read(1):
            fold.apply(again, row)
    assert again.digest() == model.digest()
