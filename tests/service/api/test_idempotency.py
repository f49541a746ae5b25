"""A request with a key is learned from once, however often and however broken it comes."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.api.idempotency import Fingerprint
from nonzero_service.errors import KeyReusedError
from nonzero_service.journal.keys import KeyRecord
from service.safety.raw import read_all
from waiting import until

JSON = {"examples": [{"features": {"site": f"s{j % 5}"}, "label": j % 2} for j in range(30)]}


def lines(n: int, bad: int | None = None) -> bytes:
    rows = [f"{1 if j % 3 else -1} |f site{j % 11} hour{j % 7}" for j in range(n)]
    if bad is not None:
        rows[bad] = "no bar here"
    return "".join(row + "\n" for row in rows).encode()


def post(
    client: httpx.Client, path: str, content: Any, key: str | None, media: str = "text/x-vw", **more: str
) -> Any:
    headers = {"content-type": media, **more} | ({"idempotency-key": key} if key else {})
    body = json.dumps(content).encode() if isinstance(content, dict) else content
    return client.post(f"{path}/update", content=body, headers=headers)


@pytest.mark.parametrize(
    ("content", "media"),
    [
        (JSON, "application/json"),
        (lines(300), "text/x-vw"),
        (lines(300, bad=7), "text/x-vw"),
        (b"click,site\n" + b'1,"a\nb"\n0,s1\n?,c\n' * 100, "text/csv"),
    ],
    ids=["json", "stream", "stream with a bad line", "table"],
)
def test_a_repeat_is_answered_as_the_first_and_learned_from_once(
    client: httpx.Client, model: str, content: Any, media: str
) -> None:
    first = post(client, model, content, "k1", media)
    assert first.status_code == 200
    assert first.json()["replayed"] == 0
    predicted = client.post(f"{model}/predict", json={"features": {"site": "s1"}}).json()
    post(client, model, {"examples": []}, None, "application/json")
    again = post(client, model, content, "k1", media)
    assert again.json() == first.json() | {"replayed": first.json()["accepted"]}
    assert client.post(f"{model}/predict", json={"features": {"site": "s1"}}).json() == predicted
    assert client.get(model).json()["sequence"] == first.json()["accepted"]


def test_another_body_with_the_same_key_is_refused(client: httpx.Client, model: str) -> None:
    post(client, model, lines(20), "k")
    for other in (lines(21), lines(19), lines(20, bad=3), b""):
        answer = post(client, model, other, "k")
        assert answer.status_code == 422, other
        assert answer.headers["content-type"] == "application/problem+json"
    assert post(client, model, JSON, "k", "application/json").status_code == 422
    assert client.get(model).json()["sequence"] == 20


def test_a_refused_request_leaves_its_key_free(client: httpx.Client, model: str) -> None:
    bad = {"examples": [{"features": {"site": {}}, "label": 1}]}
    assert post(client, model, bad, "k", "application/json").status_code == 422
    assert post(client, model, JSON, "k", "application/json").json()["replayed"] == 0


def test_a_compressed_repeat_is_the_same_body(client: httpx.Client, model: str) -> None:
    first = post(client, model, lines(50), "k").json()
    again = post(client, model, gzip.compress(lines(50)), "k", **{"content-encoding": "gzip"}).json()
    assert again == first | {"replayed": 50}


def test_thirty_two_clients_with_one_key_are_one(client: httpx.Client, model: str) -> None:
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: post(client, model, JSON, "k", "application/json"), range(32)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    fresh = [answer for answer in answers if answer.status_code == 200 and answer.json()["replayed"] == 0]
    assert len(fresh) == 1
    assert client.get(model).json()["sequence"] == 30


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_1_to_255_characters(client: httpx.Client, model: str, key: str) -> None:
    assert post(client, model, JSON, None, "application/json", **{"idempotency-key": key}).status_code == 422


def test_a_stream_that_broke_off_is_continued_after_a_kill(start: Callable[..., Any], tmp_path: Path) -> None:
    """Half the lines arrive, the service is killed; sent again whole, each line counts once."""
    body = lines(20_000)
    path = "/v1/models/default"
    running = start().until_ready()
    with socket.create_connection((running.host, running.port)) as connection:
        head = (
            f"POST {path}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
            f"idempotency-key: broken\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[: len(body) // 2 + 5])
        with running.client() as client:
            learned = until(lambda: at_least(client.get(path).json()["sequence"], 9_000))
        running.kill()
    again = start(tmp_path / "data").until_ready()
    with again.client() as client:
        answer = post(client, path, body, "broken").json()
        assert answer["accepted"] == 20_000
        assert learned <= answer["replayed"] < 20_000
        assert client.get(path).json()["sequence"] == 20_000
        assert post(client, path, body, "broken").json() == answer | {"replayed": 20_000}
        assert post(client, path, lines(20_000, bad=19_000), "broken").status_code == 422


def at_least(count: int, least: int) -> int:
    return count if count >= least else 0


def fingerprint_of(body: bytes, cuts: list[int], known: KeyRecord | None = None) -> Fingerprint:
    fingerprint = Fingerprint("text/x-vw", known)
    for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True):
        fingerprint.update(body[a:b], b - (body.rfind(b"\n", 0, b) + 1))
    fingerprint.finish()
    return fingerprint


@pytest.mark.parametrize("end", ["\n", ""])
def test_any_chunking_has_the_same_fingerprint(end: str) -> None:
    body = b"one\ntwo\nthree" + end.encode()
    whole = fingerprint_of(body, [])
    for cut in range(len(body)):
        assert fingerprint_of(body, [cut]).digest() == whole.digest()


def test_a_known_offset_is_checked_wherever_the_chunks_end() -> None:
    body = b"one\ntwo\nthree\n"
    part = Fingerprint("text/x-vw", None)
    part.update(body[:10], 2)
    assert part.offset == 8
    known = KeyRecord("k", part.digest(), part.offset, 0, 2, False, {})
    for cut in range(len(body)):
        fingerprint_of(body, [cut], known)
        with pytest.raises(KeyReusedError):
            fingerprint_of(body.replace(b"one", b"onE"), [cut], known)
    with pytest.raises(KeyReusedError):
        fingerprint_of(body[:5], [], known)


def test_another_body_of_shorter_lines_is_learned_from_not_at_all(start: Callable[..., Any]) -> None:
    """It has more rows than are known, before the offset up to which they are."""
    path = "/v1/models/default"
    running = start(bits=10).until_ready()
    with running.client() as client:
        known = b"1 | " + b"x" * 100 + b"\n"
        assert post(client, path, known * 50, "k").status_code == 200
        with socket.create_connection((running.host, running.port)) as connection:
            other = b"1 | a\n" * 1000
            head = (
                f"POST {path}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
                f"connection: close\r\nidempotency-key: k\r\ncontent-length: {len(other)}\r\n\r\n"
            )
            connection.sendall(head.encode() + other)
            assert read_all(connection).split()[1] == b"422"
        assert client.get(path).json()["sequence"] == 50
