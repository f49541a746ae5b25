from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from nonzero import AdaGrad, Batch, LogisticRegression

VW = {"content-type": "text/x-vw"}
MANY = 2_000_000


def test_a_json_body_is_answered_in_json(client: httpx.Client, model: str) -> None:
    one = {"features": {"site": "news"}, "id": 'imp-"1"', "time": 1700000000000}
    answer = client.post(f"{model}/predict", json=one)
    assert answer.headers["content-type"] == "application/json"
    name = model.rpartition("/")[2]
    assert answer.json() == {
        "model": name,
        "predictions": [{"probability": 0.5, "id": 'imp-"1"'}],
        "sequence": 0,
    }
    several = client.post(
        f"{model}/predict", json={"examples": [{"features": {}}, one, {"indices": [1]}]}
    ).json()
    assert [row.get("id") for row in several["predictions"]] == [None, 'imp-"1"', None]
    assert client.post(f"{model}/predict", json={"examples": []}).json()["predictions"] == []


def test_a_prediction_is_the_librarys_to_the_bit(client: httpx.Client, model: str) -> None:
    alone = LogisticRegression(12, AdaGrad(0.1))
    examples = [{"features": {"site": f"s{j}"}, "label": j % 2} for j in range(200)]
    batch = Batch.from_dicts([example["features"] for example in examples], [j % 2 for j in range(200)])  # type: ignore[misc]
    alone.learn(batch)
    client.post(f"{model}/update", json={"examples": examples})
    answer = client.post(f"{model}/predict", json={"examples": examples}).json()
    found = np.array([row["probability"] for row in answer["predictions"]], np.float32)
    np.testing.assert_array_equal(found, alone.predict(batch))


def test_a_prediction_says_how_sure_it_is_on_request(client: httpx.Client, model: str) -> None:
    seen = [{"features": {"site": "news"}, "label": j % 2} for j in range(100)]
    client.post(f"{model}/update", json={"examples": seen})
    rows = [{"features": {"site": "news"}}, {"features": {"site": "new"}, "id": "x"}]
    plain, unsure = (
        client.post(f"{model}/predict{query}", json={"examples": rows}).json()["predictions"]
        for query in ("", "?uncertainty=true")
    )
    assert [row.pop("uncertainty") for row in plain if "uncertainty" in row] == []
    known, new = (row.pop("uncertainty") for row in unsure)
    assert 0 < known < new
    assert unsure == plain
    body = b"| site=news\n?\nx| site=new\n"
    answer = client.post(f"{model}/predict?uncertainty=true", content=body, headers=VW)
    first, second, third = (json.loads(line) for line in answer.text.splitlines())
    assert (first["uncertainty"], third["uncertainty"]) == (known, new)
    assert second["line"] == 2
    assert client.post(f"{model}/predict?uncertainty=maybe", json=rows[0]).status_code == 422


def test_a_pretty_body_is_read(client: httpx.Client, model: str) -> None:
    body = json.dumps({"examples": [{"features": {"a b": "c\nd"}}]}, indent=2)
    answer = client.post(f"{model}/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200


def test_slots_outside_the_table_are_named_all(client: httpx.Client, model: str) -> None:
    examples = [{"indices": [j]} for j in (0, 4096, 4095, 2**31)]
    answer = client.post(f"{model}/predict", json={"examples": examples})
    assert answer.status_code == 422
    assert [error["line"] for error in answer.json()["errors"]] == [2, 4]


def test_a_streamed_body_is_answered_line_by_line(client: httpx.Client, model: str) -> None:
    body = b"1 | a\nnonsense\n\n imp-1| b\n"
    answer = client.post(f"{model}/predict", content=body, headers=VW)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("line") for line in lines] == [None, 2, 3, None]
    assert lines[3] == {"probability": 0.5, "id": "imp-1"}
    assert lines[1]["reason"]
    assert lines[2]["reason"] == "the line holds no example"
    unsure = client.post(f"{model}/predict?uncertainty=true", content=body, headers=VW)
    assert [json.loads(line).get("line") for line in unsure.text.splitlines()] == [None, 2, 3, None]


def test_a_slot_outside_the_table_is_an_error_in_its_place(client: httpx.Client, model: str) -> None:
    body = b"# a\n1 1:1\n\n1 5000:1\n1 2:1"
    answer = client.post(f"{model}/predict", content=body, headers={"content-type": "text/x-libsvm"})
    assert ["line" in json.loads(line) for line in answer.text.splitlines()] == [
        True,
        False,
        True,
        True,
        False,
    ]


def test_an_empty_stream_has_an_empty_answer(client: httpx.Client, model: str) -> None:
    answer = client.post(f"{model}/predict", content=b"", headers=VW)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-ndjson"


def test_two_million_rows_by_httpx(client: httpx.Client, model: str) -> None:
    """httpx sends its whole body before it reads."""
    block = b"".join(b" | site=%d\n" % (j % 1000) for j in range(10_000))
    body = block * (MANY // 10_000)
    answer = client.post(f"{model}/predict", content=body, headers=VW)
    assert answer.status_code == 200
    assert answer.content.count(b"\n") == MANY
    assert answer.content.startswith(b'{"probability":')


def test_a_socket_that_sends_everything_before_it_reads(service: Any, model: str) -> None:
    """The receive buffer is small, so that the answer has nowhere to go but the service."""
    rows = 500_000
    body = b" | site=news\n" * (rows - 1) + b"nonsense\n"
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(60)
        raw.connect((service.host, service.port))
        head = f"POST {model}/predict HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        raw.sendall(f"{head}content-type: text/x-vw\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        response = http.client.HTTPResponse(raw)  # chunks may end anywhere in a line
        response.begin()
        answer = response.read()
    assert response.status == 200
    assert answer.count(b'{"probability":') == rows - 1
    assert b'{"line":500000,' in answer


def test_a_slow_sender_is_answered_as_it_sends(service: Any, model: str) -> None:
    """A client that waits for each answer before it sends the next line is not kept waiting."""
    with socket.create_connection((service.host, service.port), timeout=30) as raw:
        head = f"POST {model}/predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
        raw.sendall(f"{head}content-type: text/x-vw\r\n\r\n".encode())
        seen = b""
        for j in range(3):
            raw.sendall(b"7\r\n | a=%d\n\r\n" % j)
            while seen.count(b"probability") <= j:
                seen += raw.recv(1 << 16)
        raw.sendall(b"0\r\n\r\n")
        while not seen.endswith(b"0\r\n\r\n"):
            seen += raw.recv(1 << 16)
    assert seen.count(b"probability") == 3


def test_what_expands_too_far_is_refused(start: Callable[..., Any]) -> None:
    running = start(max_decompressed_bytes=100_000).until_ready()
    encoded = gzip.compress(b" | site=news\n" * 1_000_000)
    with running.client() as own:
        for path in ("predict", "update"):
            answer = own.post(
                f"/v1/models/default/{path}", content=encoded, headers=VW | {"content-encoding": "gzip"}
            )
            assert answer.status_code == 413
        body = gzip.compress(b'{"examples": [' + b" " * 100_000_000 + b"]}")
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        assert own.post("/v1/models/default/predict", content=body, headers=headers).status_code == 413


def test_a_body_that_is_too_large(start: Callable[..., Any]) -> None:
    running = start(max_body_bytes=2000, max_line_bytes=1024).until_ready()

    def streamed() -> Iterator[bytes]:
        yield from [b'{"features":', b" " * 3000, b"{}}"]

    with running.client() as own:
        for content in (b'{"features": {}' + b" " * 3000 + b"}", streamed()):
            headers = {"content-type": "application/json"}
            answer = own.post("/v1/models/default/predict", content=content, headers=headers)
            assert answer.status_code == 413
        body = b" | a\n | " + b"b" * 3000 + b"\n | c\n"
        lines = own.post("/v1/models/default/predict", content=body, headers=VW).text.splitlines()
        assert ["line" in json.loads(line) for line in lines] == [False, True, False]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_service_stays_quick_beside_a_large_stream(client: httpx.Client, model: str, path: str) -> None:
    block = b"".join(b"1 | site=%d user=%d\n" % (j % 1000, j % 77) for j in range(10_000))

    def body() -> Iterator[bytes]:
        for j in range(40):
            yield block
            if j % 10 == 5:
                assert client.get(path).elapsed.total_seconds() < 1

    assert client.post(f"{model}/update", content=body(), headers=VW).json()["accepted"] == 400_000
