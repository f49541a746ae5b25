"""Promotion: from one row on a challenger goes on under its champion's name."""

from __future__ import annotations

import http.client
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero import LogisticRegression
from nonzero_service.models.rebuilding import rebuild
from nonzero_service.models.verifying import verify
from service.conftest import ServiceProcess, Start
from service.models.test_challengers import (
    DEFAULT,
    OTHER,
    batch,
    compared,
    digest,
    examples,
    folded,
    follow,
    until_compared,
    update,
)
from waiting import until


def silent(_: str, __: int, ___: int) -> None:
    """Tell nobody."""


def promote(client: httpx.Client, name: str = "b") -> dict[str, Any]:
    answer = client.post(f"{DEFAULT}/promote", json={"with": name})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sound(directory: Path) -> None:
    for path in (directory / "models").iterdir():
        found = verify(path, silent)
        assert found.faults == [], found.faults


def champion_before(seeds: list[int]) -> LogisticRegression:
    model = LogisticRegression(8)
    for seed in seeds:
        model.learn(batch(seed))
    return model


def test_it_goes_on_under_the_name(serve: Start, tmp_path: Path) -> None:
    place = tmp_path / "data"
    service = serve(place, journal_retention="all").until_ready()
    with service.client() as client:
        update(client, 0)
        follow(client)
        follow(client, "refold", "c", learning_rate=0.1)
        update(client, 1)
        done = promote(client)
        assert done["promoted"] == "b"
        assert done["sequence"] == 80
        assert done["settings"]["bits"] == 9
        assert client.get("/v1/models/b").status_code == 404
        state = client.get(DEFAULT).json()
        assert (state["settings"]["bits"], state["sequence"], state["followers"]) == (9, 80, ["c"])
        assert update(client, 2) == 120
        assert compared(client, "c")["since"]["position"] == done["position"]
        assert compared(client, "c")["examples"] == 40
        before = compared(client, "c")
        assert digest(client, "default", tmp_path / "d") == folded([1, 2]).digest()
    assert service.kill() == -9
    sound(place)
    service = serve(place, journal_retention="all").until_ready()
    with service.client() as client:
        until_compared(client, "c")
        assert compared(client, "c") == before
        assert update(client, 3) == 160
        assert digest(client, "default", tmp_path / "d") == folded([1, 2, 3]).digest()
        assert client.put(DEFAULT, json=OTHER).status_code == 200
        # A file of what was a challenger is a model like any other, elsewhere.
        content = (tmp_path / "d").read_bytes()
        media = {"content-type": "application/vnd.safetensors"}
        assert client.put("/v1/models/copy", content=content, headers=media).status_code == 201
        assert client.post("/v1/models/copy/update", json=examples(1, 1)[0]).json()["sequence"] == 121
    assert service.stop() == 0
    assert not service.failures()
    sound(place)
    [retired] = (place / "models/default/retired").iterdir()
    assert LogisticRegression.load(retired).digest() == champion_before([0, 1]).digest()
    # The whole journal, folded across the promotion into another table.
    made = rebuild(place / "models/default", 7, lambda _, __: None)
    assert made.bits == 7
    assert made.examples == 120


@pytest.mark.sampled(1)
@pytest.mark.parametrize("snapshots", [(), ("default",), ("default", "b"), ("b", "default")])
def test_a_kill_before_the_files_say_so(serve: Start, tmp_path: Path, snapshots: tuple[str, ...]) -> None:
    place = tmp_path / "data"
    service = serve(place).until_ready()
    with service.client() as client:
        update(client, 0)
        follow(client)
        for seed, name in enumerate(snapshots, 1):
            update(client, seed)
            assert client.post(f"/v1/models/{name}/snapshots").status_code == 201
        seeds = list(range(1, len(snapshots) + 1))
        # What comes after the row finds no place: it is as if a kill had come between.
        (place / "models/default/promoted").write_text("")
        done = promote(client)
        update(client, 9)
    assert service.kill() == -9
    (place / "models/default/promoted").unlink()
    sound(place)
    service = serve(place).until_ready()
    with service.client() as client:
        assert client.get("/v1/models/b").status_code == 404
        assert client.get(DEFAULT).json()["settings"] == done["settings"] | {
            key: client.get(DEFAULT).json()["settings"][key]
            for key in ("negatives", "attribution_seconds", "correction_seconds")
        }
        assert digest(client, "default", tmp_path / "d") == folded([*seeds, 9]).digest()
        follow(client, name="b")
    assert service.stop() == 0
    sound(place)


def test_while_clients_ask(serve: Start) -> None:
    """Every answer is of the one or of the other, and what is acknowledged is learned once."""
    service = serve(breaker="off").until_ready()
    one = {"features": examples(5, 1)[0]["features"]}
    with service.client() as client:
        follow(client)
        update(client, 1, 200)
        stop = threading.Event()
        failures: list[str] = []
        learned: list[int] = []

        def learn() -> None:
            with service.client() as mine:
                while not stop.is_set():
                    answer = mine.post(f"{DEFAULT}/update", json=examples(7, 1)[0])
                    if answer.status_code != 200:
                        failures.append(answer.text)
                        return
                    learned.append(answer.json()["sequence"])

        def ask() -> None:
            with service.client() as mine:
                last = 0
                while not stop.is_set():
                    answer = mine.post(f"{DEFAULT}/predict", json=one)
                    if answer.status_code != 200 or answer.json()["sequence"] < last:
                        failures.append(answer.text)
                        return
                    last = answer.json()["sequence"]

        threads = [threading.Thread(target=target) for target in (learn, learn, ask)]
        for thread in threads:
            thread.start()
        until(lambda: len(learned) > 40)
        done = promote(client)
        until(lambda: len(learned) > 80)
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(set(learned)) == len(learned)
        assert client.get(DEFAULT).json()["sequence"] == 200 + len(learned)
        assert done["sequence"] in range(200, 200 + len(learned) + 1)
    assert service.stop() == 0
    assert not service.failures()


def answers(service: ServiceProcess, body: dict[str, Any], n: int) -> set[float]:
    """Ask over new connections, which the system spreads over all processes."""
    found = set()
    for _ in range(n):
        with service.client() as client:
            answer = client.post(f"{DEFAULT}/predict", json=body).json()
            found.add(answer["predictions"][0]["probability"])
    return found


def test_workers_predict_by_the_new_one(serve: Start) -> None:
    service = serve(workers=2).until_ready()
    one = {"features": examples(5, 1)[0]["features"]}
    with service.client() as client:
        follow(client)
        update(client, 1, 100)
        [old] = answers(service, one, 8)
        promote(client)
        [new] = answers(service, one, 8)
        assert new != old
        assert new == pytest.approx(folded([1], 100).predict_one(one["features"]), abs=1e-6)
        update(client, 2, 100)
        [later] = answers(service, one, 8)
        assert later not in (old, new)
    assert service.stop() == 0
    assert not service.failures()


def at_once(service: ServiceProcess, *asked: tuple[str, str]) -> list[int]:
    """Send requests over connections of their own, all before one is answered; return the statuses."""
    connections = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=30) for _ in asked]
    for connection in connections:
        connection.connect()
    for connection, (method, path) in zip(connections, asked, strict=True):
        connection.request(method, path)
    statuses = [connection.getresponse().status for connection in connections]
    for connection in connections:
        connection.close()
    return statuses


def test_promotions_and_deletions_at_once(serve: Start, tmp_path: Path) -> None:
    """Who has been promoted or deleted meanwhile is promoted no more: the row would wait for it for ever."""
    place, promotion = tmp_path / "data", ("POST", f"{DEFAULT}/promote?with=b")
    service = serve(place).until_ready()
    with service.client() as client:
        follow(client)
        update(client, 1)
        assert sorted(at_once(service, promotion, promotion, promotion)) == [200, 409, 409]
        assert update(client, 2) == 80
        for n, asked in enumerate(
            [(promotion, ("DELETE", "/v1/models/b")), (("DELETE", "/v1/models/b"), promotion)]
        ):
            follow(client)
            statuses = dict(zip([method for method, _ in asked], at_once(service, *asked), strict=True))
            assert statuses in ({"POST": 200, "DELETE": 404}, {"POST": 409, "DELETE": 204}), statuses
            assert update(client, 3 + n) == 120 + 40 * n
        # Two at once: what the first has become is what the second takes the place of.
        follow(client, name="b")
        follow(client, name="c", learning_rate=0.1, bits=7)
        update(client, 5)
        assert at_once(service, promotion, ("POST", f"{DEFAULT}/promote?with=c")) == [200, 200]
        client.get(f"{DEFAULT}/history")
        bits = client.get(DEFAULT).json()["settings"]["bits"]
    assert service.kill() == -9
    sound(place)
    service = serve(place).until_ready()
    with service.client() as client:
        assert client.get(DEFAULT).json()["settings"]["bits"] == bits
        assert update(client, 6) == 240
    assert service.stop() == 0
    assert not service.failures()
    [retired] = (place / "models/default/retired").iterdir()
    assert LogisticRegression.load(retired).bits == 16 - bits  # of the two, the other


def test_who_cannot_be_promoted(serve: Start) -> None:
    service = serve().until_ready()
    with service.client() as client:
        assert client.post(f"{DEFAULT}/promote").status_code == 409
        assert client.post(f"{DEFAULT}/promote", json={}).status_code == 422
        assert client.post(f"{DEFAULT}/promote", json={"with": "b"}).status_code == 409
        follow(client)
        assert client.post("/v1/models/b/promote", json={"with": "b"}).status_code == 409
        assert client.post(f"{DEFAULT}/promote?with=b", json={"with": "c"}).status_code == 409
        assert client.post(f"{DEFAULT}/promote?with=b").status_code == 200


def test_slots_of_a_larger_table(serve: Start) -> None:
    """What came by slots before a promotion to a smaller table is learned; what comes after is refused."""
    service = serve().until_ready()
    with service.client() as client:
        follow(client, bits=6, learning_rate=0.1)
        shown = {"examples": [{"indices": [n, 200 + n], "id": f"i{n}"} for n in range(30)]}
        assert client.post(f"{DEFAULT}/predict", json=shown).status_code == 200
        one = {"indices": [3, 200], "label": 1}
        assert client.post(f"{DEFAULT}/update", json=one).status_code == 200
        promote(client)
        labels = {"labels": [{"id": f"i{n}", "label": 1} for n in range(10)]}
        assert client.post(f"{DEFAULT}/labels", json=labels).json()["accepted"] == 10
        answer = client.post(f"{DEFAULT}/update", json=one)
        assert answer.status_code == 422
        assert "2**6" in answer.text
        sequence = client.get(DEFAULT).json()["sequence"]
    assert service.kill() == -9
    service = serve().until_ready()
    with service.client() as client:
        assert client.get(DEFAULT).json()["sequence"] == sequence
    assert service.stop() == 0
    assert not service.failures()
