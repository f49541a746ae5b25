"""What every answer says to browsers; TLS; and names that would lead out of the data directory."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.http.receiving import LONG
from service.certificates import certificate
from service.conftest import ServiceProcess
from service.safety.raw import AUTHORIZED, TOKENS, ask

UPDATE = "/v1/models/default/update"

SAID = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.mark.parametrize("token", ["", TOKENS["admin"]])
def test_every_answer_says_what_a_browser_may_do_with_it(stranger: httpx.Client, token: str) -> None:
    for path in ("/healthz", "/v1/models", "/v1/models/none", "/openapi.json", "/nowhere", "/metrics"):
        answer = stranger.get(path, headers={"authorization": f"Bearer {token}"} if token else {})
        assert SAID.items() <= dict(answer.headers).items(), path
        assert "server" not in answer.headers


def test_so_does_the_answer_to_what_is_no_request(narrow: ServiceProcess) -> None:
    [answer] = ask(narrow.port, b"nonsense\r\n\r\n")
    assert SAID.items() <= answer.headers.items()


def test_every_error_has_its_headers_in_one_order(narrow: ServiceProcess) -> None:
    """Whether it is no request, is not let in, has no route, or is refused at once or by a task."""
    lines = AUTHORIZED + b"connection: close\r\ncontent-type: application/json\r\n"
    sent = {
        b"nonsense\r\n\r\n": 400,
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n": 401,
        b"GET /nowhere HTTP/1.1\r\n" + lines + b"\r\n": 404,
        b"GET /v1/models/none HTTP/1.1\r\n" + lines + b"\r\n": 404,
        b"POST /v1/models/default/predict HTTP/1.1\r\n" + lines + b"content-length: 1\r\n\r\n{": 400,
        b"POST /v1/models/default/predict HTTP/1.1\r\n"
        + lines
        + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n": 400,
    }
    orders = set()
    for request, status in sent.items():
        [answer] = ask(narrow.port, request)
        assert answer.status == status, (request, answer)
        orders.add(tuple(name for name in answer.headers if name != "www-authenticate"))
    assert len(orders) == 1


def test_the_pages_of_docs_have_a_policy_of_their_own(stranger: httpx.Client) -> None:
    page = stranger.get("/docs")
    [policy] = page.headers.get_list("content-security-policy")
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    [cached] = stranger.get("/docs/swagger-ui.css").headers.get_list("cache-control")
    assert "max-age" in cached


NAMES = [
    *("..", ".", "%2e%2e", "..%2f..%2fout", "%2e%2e%2fout"),
    *("a%2fb", "a%00b", "..%5cout", "%252e%252e", "/etc"),
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_data_directory(
    narrow: ServiceProcess, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    place = tmp_path_factory.getbasetemp()

    def there() -> set[Path]:
        return {path for path in place.glob("narrow*/**/*") if "impressions" not in path.parts}

    before = there()
    lines = f"host: x\r\nauthorization: Bearer {TOKENS['admin']}\r\nconnection: close\r\n"
    settings = b'{"bits": 8}'
    sized = f"content-type: application/json\r\ncontent-length: {len(settings)}\r\n\r\n"
    for path in (name, f"{name}/snapshots", f"{name}/snapshots/latest", f"{name}/metrics", f"{name}/update"):
        for method in ("PUT", "GET", "POST", "DELETE"):
            head = f"{method} /v1/models/{path} HTTP/1.1\r\n{lines}{sized}"
            [answer] = ask(narrow.port, head.encode() + settings)
            assert 400 <= answer.status < 500, (method, path, answer)
            answer.problem()
    assert there() == before


@pytest.fixture
def encrypted(start: Callable[..., Any], tmp_path: Path) -> Iterator[tuple[Any, httpx.Client]]:
    """A service that is spoken to by TLS, and a client that trusts it."""
    made, key = certificate(tmp_path)
    settings = {"host": "0.0.0.0", "allow_open": "on", "breaker": "off"}
    running = start(ssl_certfile=str(made), ssl_keyfile=str(key), **settings)
    running.until_listening()
    trusting = ssl.create_default_context(cafile=made)
    with httpx.Client(base_url=f"https://127.0.0.1:{running.port}", verify=trusting, timeout=60) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.05)
        yield running, client
    assert running.stop() == 0


def test_tls(encrypted: tuple[Any, httpx.Client]) -> None:
    running, client = encrypted
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]
    long = b"1" * 3_000_000
    assert client.post("/v1/models/none/predict", content=long).status_code == 404
    assert client.post("/v1/models/default/predict", content=long).status_code == 415
    assert client.get("/healthz").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{running.port}/healthz")


def test_long_bodies_come_whole_by_tls(encrypted: tuple[Any, httpx.Client]) -> None:
    _, client = encrypted
    lines = b"1 | site=a hour=1\n-1 | site=b\n" * (8 * LONG // 16)
    for _ in range(2):  # on one connection
        taught = client.post(UPDATE, content=lines, headers={"content-type": "text/x-vw"})
        assert taught.json()["accepted"] == lines.count(b"\n")
    one = b'{"features":{"tags":["' + b'","'.join(b"tag%d" % k for k in range(200)) + b'"]},"label":1}'
    several = b'{"examples":[' + b",".join([one] * (2 * LONG // len(one))) + b"]}"
    taught = client.post(UPDATE, content=several, headers={"content-type": "application/json"})
    assert taught.json()["accepted"] == several.count(b"label")
    assert taught.json()["sequence"] == 2 * lines.count(b"\n") + several.count(b"label")
