"""Nonzero-Min-Sequence: what reads a model waits until it is far enough, and never for long."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from nonzero_service.api.table import READERS
from nonzero_service.errors import UnknownModelError
from nonzero_service.http.min_sequence import ModelProgress, SequenceGate
from nonzero_service.http.routing import Route
from nonzero_service.problems import Problem
from plain_http import client_of
from service.conftest import ServiceProcess

JSON = {"content-type": "application/json"}
ONE = b'{"features": {"site": "news"}, "label": 1}'
BODIES = {
    "predict": ONE,
    "explain": b'{"features": {"site": "news"}}',
    "infer": b'{"inputs": [{"name": "site", "shape": [1], "datatype": "BYTES", "data": ["news"]}]}',
    "invocations": b'{"dataframe_records": [{"site": "news"}]}',
}


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service on which nobody waits for long."""
    place = tmp_path_factory.mktemp("hasty")
    running = ServiceProcess(place, bits=8, workers=2, min_sequence_seconds=0.05).until_ready()
    with running.client() as client:
        assert client.post("/v1/models/default/update", content=ONE, headers=JSON).status_code == 200
    yield running
    assert running.stop() == 0


def ask(client: httpx.Client, route: Route, said: str) -> httpx.Response:
    path = route.path.replace("{model}", "default")
    headers = JSON | {"nonzero-min-sequence": said}
    return client.request(route.method, path, content=BODIES.get(path.rpartition("/")[2]), headers=headers)


ROUTES: list[Route] = sorted(READERS, key=lambda route: route.path)


@pytest.mark.parametrize("route", ROUTES, ids=[route.path for route in ROUTES])
def test_every_route_that_reads_a_model_waits(hasty: ServiceProcess, route: Route) -> None:
    with hasty.client() as client:
        for said in ("0", "1", "01"):
            assert ask(client, route, said).status_code == 200
        behind = ask(client, route, "2")
        assert behind.status_code == 503
        assert behind.headers["retry-after"] == "1"
        for part in ("has learned 1 examples here", "asks for 2", "0.05 s"):
            assert part in behind.text
        for said in ("-1", "1.0", "many", "1, 1", "", "9" * 19):
            wrong = ask(client, route, said)
            other = route.path == "/invocations" or route.path.startswith("/v2")
            assert wrong.status_code == (400 if other else 422), said
            assert "Nonzero-Min-Sequence is a whole number" in wrong.text


def test_it_is_answered_by_every_process(hasty: ServiceProcess) -> None:
    for _ in range(20):  # each a connection of its own, to the writer or to the worker
        with client_of(hasty.url) as client:
            path, headers = "/v1/models/default/predict", JSON | {"nonzero-min-sequence": "1000"}
            assert client.post(path, content=ONE, headers=headers).status_code == 503
            assert client.post(path, content=ONE, headers=headers | {"nonzero-min-sequence": "1"}).is_success


def test_said_twice_it_says_nothing_certain(hasty: ServiceProcess) -> None:
    with hasty.client() as client:
        headers = [("nonzero-min-sequence", "0"), ("nonzero-min-sequence", "1")]
        assert client.get("/v1/models/default", headers=headers).status_code == 400


def test_an_unknown_model_is_not_waited_for(client: httpx.Client) -> None:
    assert client.get("/v1/models/none", headers={"nonzero-min-sequence": "7"}).status_code == 404


def test_what_waits_is_answered_when_the_model_is_there(client: httpx.Client, model: str) -> None:
    found: list[dict[str, Any]] = []

    def read() -> None:
        for path, body in ((f"{model}/predict", ONE), (model, b"")):
            headers = JSON | {"nonzero-min-sequence": "1"}
            answer = client.request("POST" if body else "GET", path, content=body, headers=headers)
            found.append(answer.json())

    reading = threading.Thread(target=read)
    reading.start()
    assert client.post(f"{model}/update", content=ONE, headers=JSON).json()["sequence"] == 1
    reading.join()
    assert [one["sequence"] for one in found] == [1, 1]


# -- the gate itself ------------------------------------------------------------------------------------


def run(check: Callable[[SequenceGate, dict[str, int]], Any], seconds: float = 60) -> None:
    sequences: dict[str, int] = {}

    def sequence_of(model: str) -> int:
        if model not in sequences:
            raise UnknownModelError(model)
        return sequences[model]

    async def checked() -> None:
        await check(SequenceGate(ModelProgress(sequence_of, seconds, frozenset())), sequences)

    asyncio.run(checked())


def test_each_waits_for_its_own_model_and_number() -> None:
    async def check(gate: SequenceGate, sequences: dict[str, int]) -> None:
        sequences |= {"a": 0, "b": 5}
        await gate.wait("b", 5)
        tasks = [asyncio.create_task(gate.wait(*asked)) for asked in itertools.product("ab", (3, 6))]
        for sequences["a"], sequences["b"], done in (
            (2, 5, []),
            (3, 5, [0]),
            (3, 6, [0, 3]),
            (6, 6, [0, 1, 3]),
        ):
            await asyncio.sleep(0.02)
            assert [n for n, task in enumerate(tasks) if task.done() and n != 2] == done
        await asyncio.gather(*tasks)

    run(check)


def test_a_model_that_is_deleted_is_not_waited_for() -> None:
    async def check(gate: SequenceGate, sequences: dict[str, int]) -> None:
        sequences["a"] = 0
        waiting = asyncio.create_task(gate.wait("a", 1))
        await asyncio.sleep(0.01)
        del sequences["a"]
        with pytest.raises(UnknownModelError):
            await waiting

    run(check)


def test_those_who_go_and_those_who_waited_too_long_leave_nothing_behind() -> None:
    async def check(gate: SequenceGate, sequences: dict[str, int]) -> None:
        sequences["a"] = 0
        tasks = [asyncio.create_task(gate.wait("a", 1)) for _ in range(3)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [asyncio.CancelledError, Problem, Problem]
        while len(asyncio.all_tasks()) > 1:  # nobody looks any more
            await asyncio.sleep(0.001)

    run(check, seconds=0.05)
