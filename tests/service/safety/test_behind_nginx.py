"""Behind nginx, as Debian has it: connections are kept, streams are streams, and nothing gets out of step."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from machine import listening_port
from nonzero_service.demo.process import free_port
from service.conftest import ServiceProcess
from service.safety.raw import AUTHORIZED, ask, connect, read_all, read_until
from service.safety.test_heads import BODY, CHUNKED, CHUNKS, GET, POST, REFUSED, SIZED
from waiting import until

CONFIGURATION = """
daemon off;
pid {place}/nginx.pid;
error_log {place}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    client_max_body_size 0;
    map $http_upgrade $kept {{ default upgrade; "" ""; }}
    upstream nonzero {{ server 127.0.0.1:{service}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://nonzero;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $kept;
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""


def install() -> str | None:
    """Return where nginx is; put it there where that is possible."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        command = ["apt-get", "install", "-qq", "--no-install-recommends", "nginx-light"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=environment, capture_output=True, check=False, timeout=300)
        found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    return found


@pytest.fixture(scope="module")
def nginx(narrow: ServiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an nginx in front of the service."""
    program = install()
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    place = tmp_path_factory.mktemp("nginx")
    place.chmod(0o755)
    port = free_port()
    configuration = place / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(place=place, service=narrow.port, port=port))
    with subprocess.Popen([program, "-p", str(place), "-c", str(configuration)]) as process:
        try:
            until(lambda: process.poll() is not None or listening_port(process.pid))
            assert process.poll() is None, (place / "error.log").read_text()
            yield port
        finally:
            process.terminate()


def stranger(port: int, number: int) -> None:
    """Ask for something that nobody else asks for, and check that the answer is to that."""
    path = f"/v1/models/stranger-{number}"
    lines = f"GET {path} HTTP/1.1\r\nconnection: close\r\n".encode() + AUTHORIZED + b"\r\n"
    [answer] = ask(port, lines)
    assert answer.status == 404
    assert answer.problem()["instance"] == path


def test_nothing_that_is_refused_gets_the_two_out_of_step(nginx: int) -> None:
    """Whichever refuses it, or takes it: the next client's answer is its own, on the one kept connection."""
    for number, (name, (_, sent)) in enumerate(REFUSED.items()):
        with connect(nginx) as connection:
            connection.settimeout(0.3)  # nginx waits for what never comes
            try:
                connection.sendall(sent + GET + b"connection: close\r\n\r\n")
                received = connection.recv(65536)
            except (ConnectionError, TimeoutError):
                received = b""
            # To HTTP/0.9, which nginx speaks, an answer is a body.
            assert not received.startswith(b"HTTP/1.1 50") or received[9:12] in (b"501", b"505"), (
                name,
                received,
            )
        stranger(nginx, number)


@pytest.mark.parametrize("framing", [SIZED + b"\r\n" + BODY, CHUNKED + b"\r\n" + CHUNKS])
def test_a_refused_body_is_not_read_as_a_request(nginx: int, framing: bytes) -> None:
    """What is left of a refused body, itself a request, is nobody's."""
    smuggled = b"GET /v1/models/smuggled HTTP/1.1\r\n" + AUTHORIZED + b"\r\n"
    head = POST.replace(b"default", b"none") + b"content-length: %d\r\n\r\n" % (len(smuggled) * 3)
    for number in range(5):
        with connect(nginx) as connection:
            connection.sendall(head + smuggled)
            time.sleep(0.05)
            connection.sendall(smuggled)
            assert b" 404 " in read_until(connection, b"\r\n").partition(b"\r\n")[0]
        stranger(nginx, number)
    [answer] = ask(nginx, POST + b"connection: close\r\n" + framing)
    assert answer.status == 200


@pytest.mark.parametrize("framing", [SIZED + b"\r\n" + BODY, CHUNKED + b"\r\n" + CHUNKS])
def test_an_offer_that_it_passes_on_is_not_taken_up(nginx: int, framing: bytes) -> None:
    """It passes offers on, as for websockets; the request is answered, and so is the next one behind it."""
    offer = b"connection: upgrade\r\nupgrade: websocket\r\n"
    for number in range(5):
        with connect(nginx) as connection:
            connection.sendall(POST + offer + framing)
            assert b" 200 " in read_until(connection, b"\r\n").partition(b"\r\n")[0]
        stranger(nginx, number)


def test_a_page_that_it_serves_is_of_the_same_origin(nginx: int) -> None:
    """It gives the service a Host of its own; the browser says that it is the page's."""
    page = POST + b"origin: https://ctr.example\r\nconnection: close\r\n"
    rest = SIZED + b"\r\n" + BODY
    for site, status in (
        (b"sec-fetch-site: same-origin\r\n", 200),
        (b"sec-fetch-site: cross-site\r\n", 403),
        (b"", 403),
    ):
        [answer] = ask(nginx, page + site + rest)
        assert answer.status == status


def test_streams_go_through_it_as_they_come(nginx: int) -> None:
    """Half of a stream is answered before the other half is sent; the connection behind serves the next."""
    head = b"POST /v1/models/default/predict HTTP/1.1\r\ncontent-type: text/x-vw\r\n" + AUTHORIZED
    head += b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    line = b" | site=news\n"
    chunk = b"%x\r\n%b\r\n" % (len(line), line)
    with connect(nginx) as connection:
        connection.sendall(head + chunk)
        received = read_until(connection, b"probability")
        connection.sendall(chunk + b"0\r\n\r\n")
        received += read_all(connection)
    assert received.count(b"probability") == 2
    stranger(nginx, 0)
