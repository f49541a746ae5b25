"""Values that contradict a schema, and fields that never come, are told: metrics, diagnosis, log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from nonzero import Batch, LogisticRegression
from nonzero_service.models.field_watch import FieldWatch
from service.conftest import ServiceProcess
from waiting import until

NDJSON = {"content-type": "application/x-ndjson"}
VW = {"content-type": "text/x-vw"}
CONFLICT = "values of a field are of another kind than it is"
UNSEEN = "a field that settings name has not come"


@pytest.fixture
def route(client: httpx.Client) -> Iterator[str]:
    path = "/v1/models/watched"
    said = {"fields": {"bid": "number", "n_*": "number", "site": "category"}}
    assert client.put(path, json={"bits": 6, "learning_rate": 0.1, "schema": said}).status_code == 201
    yield path
    client.delete(path)


def of_model(service: ServiceProcess, model: str, event: str, lines: int) -> list[dict[str, Any]]:
    """Return the lines of the log, once there are so many: a thread writes them, another reads them."""

    def found() -> list[dict[str, Any]]:
        return [one for one in service.lines(event) if one.get("model") == model]

    until(lambda: len(found()) >= lines)
    return found()


def exposed(client: httpx.Client, name: str, model: str) -> dict[str, float]:
    """Return a metric of a model, by field, as its text has it."""
    found = {}
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(name + "{") and f'model="{model}"' in line:
            labels, _, value = line.rpartition(" ")
            found[labels.partition('field="')[2].removesuffix('"}').partition('",model')[0]] = float(value)
    return found


def test_conflicts_are_counted_by_field_through_every_body(
    client: httpx.Client, service: ServiceProcess, route: str
) -> None:
    before = client.get(route).json()["sequence"]
    assert client.post(f"{route}/update", json={"features": {"bid": "x"}, "label": 1}).status_code == 422
    assert client.post(f"{route}/predict", json={"features": {"bid": "y"}}).status_code == 422
    client.post(f"{route}/update", content='{"features": {"bid": "cheap"}, "label": 1}\n' * 3, headers=NDJSON)
    client.post(f"{route}/update", content="1 |bid cheap\n", headers=VW)
    # Under infer the first kind that came is the field's; the others are learned from, and counted.
    for value in (31, "31", "32"):
        body = {"features": {"age": value}, "label": 1}
        assert client.post(f"{route}/update", json=body).status_code == 200
    assert client.post(f"{route}/predict", json={"features": {"age": "33"}}).status_code == 200
    expected = {"bid": 6, "age": 3}
    assert client.get(f"{route}/metrics").json()["schema"] == {"conflicts": expected, "unseen": []}
    assert client.get(f"{route}/diagnosis").json()["schema"]["conflicts"] == expected
    assert exposed(client, "nonzero_schema_conflicts_total", "watched") == expected
    told = [
        (line["field"], line["consequence"], line["level"])
        for line in of_model(service, "watched", CONFLICT, 2)
    ]
    assert told == [
        ("bid", "they are refused", "warning"),
        ("age", "they are learned from as they come", "warning"),
    ]
    assert client.get(route).json()["sequence"] == before + 3


def test_names_from_requests_are_bounded_and_say_nothing_to_a_terminal(
    client: httpx.Client, service: ServiceProcess, route: str
) -> None:
    told = len(of_model(service, "watched", CONFLICT, 0))
    names = ['n_\x1b[31m\n"\\', "n_" + "x" * 5000, *(f"n_{k}" for k in range(150))]
    for name in names:
        assert client.post(f"{route}/predict", json={"features": {name: "x"}}).status_code == 422
    conflicts = client.get(f"{route}/metrics").json()["schema"]["conflicts"]
    assert len(conflicts) == 101
    assert conflicts["other"] == 52
    assert all(len(name) <= 100 and name.isprintable() for name in conflicts)
    assert 'n_\\x1b[31m\\n"\\' in conflicts
    assert len(exposed(client, "nonzero_schema_conflicts_total", "watched")) == 101
    assert len(of_model(service, "watched", CONFLICT, told + 101)) - told == 101


def test_fields_that_settings_name_in_vain_are_told_once(start: Callable[..., ServiceProcess]) -> None:
    running = start(
        bits=6, learning_rate=0.1, interactions="site*hours,site*hour", slices="sit"
    ).until_ready()
    route = "/v1/models/default"
    lines = "".join(f"{k % 2} |site s{k % 3} |hour h{k % 5}\n" for k in range(999))
    expected = [
        {"field": "sit", "named_by": "the setting slices", "nearest": "site"},
        {"field": "hours", "named_by": "the interaction site*hours", "nearest": "hour"},
    ]
    with running.client() as client:
        assert client.post(f"{route}/update", content=lines, headers=VW).json()["accepted"] == 999
        assert client.get(f"{route}/metrics").json()["schema"]["unseen"] == []
        client.post(f"{route}/update", content=lines, headers=VW)
        assert client.get(f"{route}/metrics").json()["schema"]["unseen"] == expected
        assert client.get(f"{route}/diagnosis").json()["schema"]["unseen"] == expected
        assert exposed(client, "nonzero_schema_unseen", "default") == {"sit": 1, "hours": 1}
        client.post(f"{route}/update", content="1 |hours 3\n" + lines, headers=VW)
        assert client.get(f"{route}/metrics").json()["schema"]["unseen"] == expected[:1]
    told = of_model(running, "default", UNSEEN, 2)
    assert [{key: line[key] for key in expected[0]} for line in told] == expected
    assert running.stop() == 0


def test_many_fields_are_looked_for_at_once() -> None:
    pairs = [f"a{k}*b{k}" for k in range(40)]
    watch = FieldWatch("m", LogisticRegression(bits=4, interactions=pairs), [], list)
    rows = [{f"{part}{k}": "x" for part in "ab" for k in range(0, 40, 2)}, {"c": "x"}]
    watch.learned(Batch.from_dicts(rows * 500, [1, 0] * 500))
    unseen = {one.field for one in watch.unseen()}
    assert unseen == {f"{part}{k}" for part in "ab" for k in range(1, 40, 2)}


def test_a_workers_conflicts_come_to_the_writer(start: Callable[..., ServiceProcess]) -> None:
    running = start(workers=3, bits=6, schema='{"bid": "number"}').until_ready()
    route = "/v1/models/default"
    for _ in range(60):  # a new connection each: the kernel spreads them over the processes
        with running.client() as client:
            assert client.post(f"{route}/predict", json={"features": {"bid": "x"}}).status_code == 422
    with running.client() as client:
        until(lambda: exposed(client, "nonzero_schema_conflicts_total", "default") == {"bid": 60})
        assert client.get(f"{route}/metrics").json()["schema"]["conflicts"] == {"bid": 60}
    assert len(of_model(running, "default", CONFLICT, 1)) == 1
    assert running.stop() == 0
