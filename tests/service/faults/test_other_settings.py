"""A keyed stream that broke off comes again to a service with other settings: all of it once, or a 409."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.conftest import ServiceProcess, Start
from service.faults.clients import PATH
from waiting import until

N = 6000
LONG = " ".join(f"feature{j:030}" for j in range(40))
BODY = "".join(
    f"{1 if j % 3 else -1} | site{j % 11} {LONG if j % 3 == 1 else ''}\n" for j in range(N)
).encode()
GOOD = N - len(range(1, N, 3))

PLAIN: dict[str, Any] = {"breaker": "off"}
FEW = {"max_features": 20}
SHORT = {"max_line_bytes": 1024}


def post(client: httpx.Client, body: bytes = BODY, **query: Any) -> httpx.Response:
    headers = {"content-type": "text/x-vw", "idempotency-key": "k"}
    return client.post(f"{PATH}/update", content=body, headers=headers, params=query)


def break_off(service: ServiceProcess, body: bytes = BODY) -> None:
    """Send the first part of the body, and kill the service."""
    with socket.create_connection((service.host, service.port)) as connection:
        head = (
            f"POST {PATH}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/x-vw\r\n"
            f"idempotency-key: k\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[: len(body) * 2 // 3 + 5])
        with service.client() as client:
            until(lambda: client.get(PATH).json()["sequence"] >= GOOD // 2)
    service.kill()


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("first", "then"),
    [({}, FEW), ({}, SHORT), (FEW, {}), (SHORT, {})],
    ids=["fewer", "shorter", "more", "longer"],
)
def test_a_stream_goes_on_where_what_is_accepted_is_the_same_and_else_is_refused(
    serve: Start, tmp_path: Path, first: dict[str, Any], then: dict[str, Any]
) -> None:
    data_dir = tmp_path / "data"
    break_off(serve(data_dir, **PLAIN, **first).until_ready())
    other = serve(data_dir, **PLAIN, **then).until_ready()
    with other.client() as client:
        learned = client.get(PATH).json()["sequence"]
        refused = post(client)
        assert refused.status_code == 409, refused.text
        assert "max_features" in refused.json()["detail"]
        assert "Retry-After" not in refused.headers
        assert client.get(PATH).json()["sequence"] == learned
    other.kill()
    same = serve(data_dir, **PLAIN, **first).until_ready()
    with same.client() as client:
        answer = post(client).json()
        assert answer["accepted"] == (GOOD if first else N)
        assert answer["accepted"] + answer["rejected"] == N
        assert client.get(PATH).json()["sequence"] == answer["accepted"]
    same.kill()
    # What was answered is answered so again, whatever is accepted now.
    again = serve(data_dir, **PLAIN, **then).until_ready()
    with again.client() as client:
        assert post(client).json() == answer | {"replayed": answer["accepted"]}
        assert post(client, strict="true").status_code == http.client.OK
        assert client.get(PATH).json()["sequence"] == answer["accepted"]
    again.kill()


def test_as_many_lines_that_are_others_are_not_taken_for_the_same(serve: Start, tmp_path: Path) -> None:
    heavy, long = b"1 50 | a\n", f"1 | {LONG}\n".encode()
    fine = f"-1 | {LONG[:500]}\n".encode()
    body = (heavy + long) * 100 + fine * N
    broken = serve(tmp_path / "data", **PLAIN, **FEW).until_ready()
    break_off(broken, body)
    other = serve(tmp_path / "data", **PLAIN, max_weight=10).until_ready()
    with other.client() as client:
        learned = client.get(PATH).json()["sequence"]
        refused = post(client, body)
        assert refused.status_code == 409, refused.text
        assert "other lines" in refused.json()["detail"]
        assert client.get(PATH).json()["sequence"] == learned
    other.kill()
    same = serve(tmp_path / "data", **PLAIN, **FEW).until_ready()
    with same.client() as client:
        answer = post(client, body).json()
        assert (answer["accepted"], answer["rejected"], answer["replayed"]) == (N + 100, 100, learned)
    same.kill()


def test_the_way_out_that_is_named_loses_nothing(serve: Start, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    break_off(serve(data_dir, **PLAIN).until_ready())
    service = serve(data_dir, **PLAIN, **FEW).until_ready()
    with service.client() as client:
        learned = client.get(PATH).json()["sequence"]
        detail = post(client).json()["detail"]
        offset = int(detail.partition("follows byte ")[2].split()[0])
        headers = {"content-type": "text/x-vw", "idempotency-key": "another"}
        answer = client.post(f"{PATH}/update", content=BODY[offset:], headers=headers).json()
        assert BODY[:offset].count(b"\n") + answer["accepted"] + answer["rejected"] == N
        assert client.get(PATH).json()["sequence"] == learned + answer["accepted"]
    service.kill()
