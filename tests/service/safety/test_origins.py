"""What a page in a browser may have it ask of the service: by which ``Host``, and from which ``Origin``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from nonzero.errors import SettingsError
from nonzero_service.http.head import Head
from nonzero_service.http.origins import Origins
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings
from service.conftest import ServiceProcess
from service.safety.raw import TOKENS, ask

MODEL = "/v1/models/default"
EXAMPLE = b'{"features": {"a": "b"}}'
JSON = {"content-type": "application/json"}
NEVER_REFUSED = ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/", "/page/main.js"]

CHANGES: list[tuple[str, str]] = [
    ("POST", f"{MODEL}/predict"),
    ("POST", f"{MODEL}/update"),
    ("POST", f"{MODEL}/labels"),
    ("POST", f"{MODEL}/explain"),
    ("POST", f"{MODEL}/snapshots"),
    ("POST", f"{MODEL}/resume"),
    ("POST", f"{MODEL}/remedy"),
    ("PUT", "/v1/models/new"),
    ("DELETE", MODEL),
    ("PATCH", MODEL),
    ("POST", "/nowhere"),
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service as in a container behind a proxy: open, and told one name."""
    running = ServiceProcess(
        tmp_path_factory.mktemp("open"),
        host="0.0.0.0",
        allow_open="on",
        allowed_hosts="ctr.example, 10.9.8.7",
    ).until_ready()
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}") as client:
        yield client
    assert running.stop() == 0


def refused(answer: httpx.Response, *named: str) -> bool:
    """Whether it is refused, and says what was wrong and the way out."""
    if answer.status_code != 403:
        return False
    assert answer.headers["content-type"] == "application/problem+json"
    assert all(name in answer.json()["detail"] for name in named), answer.text
    return True


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.5", "x", ""],
)
def test_without_tokens_it_answers_to_names_of_the_loopback(client: httpx.Client, host: str) -> None:
    for method, path in [("GET", "/v1/models"), ("GET", MODEL), ("OPTIONS", MODEL), *CHANGES]:
        answer = client.request(method, path, headers={"host": host})
        assert refused(answer, repr(host), "--allowed-hosts"), (method, path)
    for path in NEVER_REFUSED:
        assert client.get(path, headers={"host": host, "origin": "https://evil.example"}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:1234", "127.0.0.1", "127.0.0.2:8000", "[::1]", "[::1]:8000"]
)
def test_these_are_its_names(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


def test_one_that_has_no_host_is_no_browser(service: ServiceProcess) -> None:
    [answer] = ask(service.port, b"GET /v1/models HTTP/1.0\r\n\r\n")
    assert answer.status == 200


FOREIGN = [
    "https://evil.example",
    "null",
    "http://localhost:3000",
    "http://localhost.evil.example",
    "file://",
    "about:blank",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_site_changes_nothing(client: httpx.Client, origin: str) -> None:
    before = client.get("/v1/models").json()
    for method, path in CHANGES:
        for media in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
            headers = {"origin": origin, "content-type": media, "host": "localhost:8000"}
            assert refused(client.request(method, path, headers=headers, content=b"{}"), repr(origin)), path
    assert client.get("/v1/models").json() == before
    assert client.get("/v1/models", headers={"origin": origin}).status_code == 200  # which it may not read
    assert "access-control-allow-origin" not in client.get("/v1/models", headers={"origin": origin}).headers


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://LOCALHOST", "localhost:80"),
        ("https://localhost", "localhost"),
        ("https://localhost", "localhost:443"),
    ],
)
def test_a_page_of_its_own_does_as_anybody(client: httpx.Client, origin: str, host: str) -> None:
    headers = {"origin": origin, "host": host, **JSON}
    assert client.post(f"{MODEL}/predict", content=EXAMPLE, headers=headers).status_code == 200


def test_the_browser_knows_better_than_a_host_that_a_proxy_has_changed(client: httpx.Client) -> None:
    headers = {"origin": "https://ctr.example", "host": "localhost:8000", **JSON}
    path = f"{MODEL}/predict"
    assert refused(client.post(path, content=EXAMPLE, headers=headers))
    for site, status in (("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("none", 403)):
        said = headers | {"sec-fetch-site": site}
        assert client.post(path, content=EXAMPLE, headers=said).status_code == status
    # But a page under a name that is led here is of the same origin, too.
    said = headers | {"sec-fetch-site": "same-origin", "host": "ctr.example"}
    assert refused(client.post(path, content=EXAMPLE, headers=said))


def test_where_it_is_open_only_browsers_are_asked_for_a_known_name(opened: httpx.Client) -> None:
    def status(host: str, origin: str = "") -> int:
        headers = {"host": host, **({"origin": origin} if origin else {}), **JSON}
        return opened.post(f"{MODEL}/predict", content=EXAMPLE, headers=headers).status_code

    # Probes, other services and proxies: by any name and address.
    assert status("10.244.0.17:8000") == status("nonzero.ml.svc.cluster.local") == status("x") == 200
    assert opened.get("/v1/models", headers={"host": "x"}).status_code == 200
    # Browsers, by the port that is published to this machine, or by the proxy's name.
    assert status("localhost:8000", "http://localhost:8000") == 200
    assert status("ctr.example", "https://ctr.example") == 200
    assert status("10.9.8.7:30080", "http://10.9.8.7:30080") == 200
    assert status("localhost:8000", "https://ctr.example") == 200  # a proxy that keeps no Host
    # A name that somebody leads here, and a page of another site.
    assert status("evil.example", "http://evil.example") == 403
    assert status("evil.example", "https://ctr.example") == 403
    assert status("localhost:8000", "https://evil.example") == 403
    assert status("ctr.example", "null") == 403
    assert (
        opened.get(
            "/v1/models", headers={"host": "evil.example", "origin": "http://evil.example"}
        ).status_code
        == 403
    )


def test_with_tokens_any_name_will_do_and_no_page_of_another_site(stranger: httpx.Client) -> None:
    """A proxy may add the token that the page does not know."""
    token = {"authorization": f"Bearer {TOKENS['admin']}"}
    own = token | {"host": "ctr.example", "origin": "https://ctr.example"}
    foreign = token | {"host": "ctr.example", "origin": "https://evil.example"}
    path = f"{MODEL}/snapshots"
    assert stranger.get("/v1/models", headers=foreign).status_code == 200
    assert stranger.post(path, headers=own).status_code == 201
    assert refused(stranger.post(path, headers=foreign), "https://evil.example")
    del foreign["authorization"]
    assert stranger.post(path, headers=foreign).status_code == 401


@pytest.mark.parametrize(
    "hosts", ["https://ctr.example", "ctr.example:8000", "10.9.8.7:80", "a/b", "a b", "*"]
)
def test_a_setting_that_names_no_host_is_refused(hosts: str) -> None:
    with pytest.raises(SettingsError, match=r"allowed_hosts.*no name or address"):
        Settings.load(allowed_hosts=hosts)


def test_names_are_compared_as_names() -> None:
    origins = Origins(Settings.load(allowed_hosts="CTR.example,[fd00::5],,fd00::6"))
    for host in ("ctr.EXAMPLE:1", "[fd00::5]:8000", "[FD00::5]", "[fd00::6]"):
        origins.check(scope("GET"), head(host))
    with pytest.raises(Problem, match="fd00::7"):
        origins.check(scope("GET"), head("[fd00::7]"))


def test_what_is_repeated_of_a_value_is_bounded() -> None:
    origins = Origins(Settings.load())
    for one in (head("h" * 9000), head("localhost", "https://" + "o" * 9000)):
        with pytest.raises(Problem) as raised:
            origins.check(scope("POST"), one)
        assert len(raised.value.detail) < 600


def scope(method: str) -> dict[str, Any]:
    return {"method": method}


def head(host: str, origin: str | None = None) -> Head:
    said = {"host": host} if origin is None else {"host": host, "origin": origin}
    return Head([(name.encode(), value.encode()) for name, value in said.items()])


def test_what_is_remembered_is_bounded_and_stays_right() -> None:
    origins = Origins(Settings.load())
    for port in range(10_000):
        origins.check(scope("POST"), head(f"localhost:{port}"))
    assert 0 < len(origins.passed) <= 256
    with pytest.raises(Problem):
        origins.check(scope("POST"), head("evil.example"))
    assert b"evil.example" not in origins.passed
    assert b"localhost:9999" in origins.passed
