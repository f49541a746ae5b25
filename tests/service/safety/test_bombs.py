"""Bodies that are more than they seem, and rows that are more than anybody needs."""

from __future__ import annotations

import gzip
from functools import cache

import pytest
import zstandard

from machine import resident
from service.conftest import ServiceProcess
from service.safety.raw import AUTHORIZED, TOKENS, Answer, answers, ask, connect, read_all

LINES = b"1 | a b c\n" * (1 << 16)


@cache
def bomb(encoding: str, lines: bool) -> bytes:
    """Return 10 MB or less that stand for 10 GB: the same member again and again."""
    plain = LINES * 100 if lines else bytes(1 << 26)
    compressed = gzip.compress(plain) if encoding == "gzip" else zstandard.compress(plain, 3)
    return compressed * (10**10 // len(plain))


def send(port: int, method: str, path: str, media: str, encoding: str, body: bytes) -> Answer:
    """Send a body as long as it is taken; return the answer."""
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKENS['admin']}\r\n"
    head += f"content-type: {media}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
    head += f"content-encoding: {encoding}\r\n\r\n" if encoding else "\r\n"
    with connect(port) as connection:
        connection.sendall(head.encode())
        for start in range(0, len(body), 1 << 16):
            try:
                connection.sendall(body[start : start + (1 << 16)])
            except ConnectionError:
                break
        [answer] = answers(read_all(connection))
        return answer


DEFAULT = "/v1/models/default"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize(
    ("method", "path", "media"),
    [
        ("POST", f"{DEFAULT}/predict", "application/json"),
        ("POST", f"{DEFAULT}/update", "text/x-vw"),
        ("POST", f"{DEFAULT}/labels", "application/x-ndjson"),
        ("PUT", "/v1/models/bomb", "application/vnd.safetensors"),
    ],
)
def test_ten_gigabytes_in_ten_megabytes(
    narrow: ServiceProcess, method: str, path: str, media: str, encoding: str
) -> None:
    body = bomb(encoding, False)
    assert len(body) < 1.1e7
    held = resident(narrow.pid)
    answer = send(narrow.port, method, path, media, encoding, body)
    assert answer.problem()["status"] == 413
    assert resident(narrow.pid) < held + (160 << 20)


def test_a_bomb_of_good_lines_is_learned_from_up_to_the_limit(narrow: ServiceProcess) -> None:
    answer = send(narrow.port, "POST", f"{DEFAULT}/update", "text/x-vw", "gzip", bomb("gzip", True))
    problem = answer.problem()
    assert problem["status"] == 413
    assert 1_000_000 < 10 * problem["accepted"] <= 1 << 24


def test_a_body_is_refused_by_its_length_before_it_comes(narrow: ServiceProcess) -> None:
    head = b"POST /v1/models/default/predict HTTP/1.1\r\ncontent-type: application/json\r\n" + AUTHORIZED
    [answer] = ask(narrow.port, head + b"content-length: 9999999\r\n\r\n")
    assert answer.problem()["status"] == 413


@pytest.mark.parametrize("action", ["predict", "update", "explain"])
def test_an_example_has_so_many_features(narrow: ServiceProcess, action: str) -> None:
    features = ",".join(f'"f{n}":1' for n in range(1001))
    body = f'{{"features":{{{features}}},"label":1}}'.encode()
    answer = send(narrow.port, "POST", f"{DEFAULT}/{action}", "application/json", "", body)
    assert answer.problem()["status"] == 422
    [error] = answer.problem()["errors"]
    assert error["line"] == 1
    assert "1001" in error["reason"]


def test_a_line_has_so_many_features(narrow: ServiceProcess) -> None:
    long = b"1 | " + b" ".join(b"f%d" % n for n in range(1001)) + b"\n"
    answer = send(narrow.port, "POST", f"{DEFAULT}/update", "text/x-vw", "", b"1 | a\n" + long + b"0 | b\n")
    assert answer.status == 200
    assert b'"accepted":2' in answer.body
    assert b'"line":2' in answer.body


def test_a_json_body_has_so_many_examples(narrow: ServiceProcess) -> None:
    body = b'{"examples":[%b]}' % b",".join([b'{"features":{},"label":1}'] * 1001)
    answer = send(narrow.port, "POST", f"{DEFAULT}/update", "application/json", "", body)
    assert answer.problem()["status"] == 413
