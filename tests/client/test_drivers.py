"""Requests over sockets: time limits, broken connections, forks, and what coroutines do without a loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.calling import Calling, calling
from nonzero_client import AsyncClient, Client, InputError, TimedOutError, TooLargeError, UnavailableError
from nonzero_client.drivers import run
from service.conftest import ServiceProcess

READY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
EXAMPLE = {"features": {"site": "news"}, "label": 1}


class Server:
    """A server that does with each connection what a test says.

    Parameters
    ----------
    serve
        Is called with each connection, in a thread of its own.
    """

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._one, args=(connection,)))
                self._threads[-1].start()

    def _one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._serve(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[socket.socket], object]], Server]]:
    with ExitStack() as stack:

        def begin(serve: Callable[[socket.socket], object]) -> Server:
            made = Server(serve)
            stack.callback(made.close)
            return made

        yield begin


Begin = Callable[[Callable[[socket.socket], object]], Server]


def until_closed(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def test_what_is_not_answered_is_asked_again(server: Begin, kind: Any) -> None:
    silent = [True, True]

    def serve(connection: socket.socket) -> None:
        if silent:
            silent.pop()
        elif connection.recv(1 << 16):
            connection.sendall(READY)
        until_closed(connection)

    begun = server(serve)
    with calling(kind, begun.url, read_seconds=0.1) as client:
        assert not client.get_model()
    assert begun.connections == 3


def test_what_is_never_answered_ends_with_the_deadline(server: Begin, kind: Any) -> None:
    with calling(kind, server(until_closed).url, read_seconds=0.1, deadline=0.4) as client:
        with pytest.raises(TimedOutError, match=r"\(deadline 0\.4 s") as error:
            client.update(EXAMPLE)
        assert error.value.outcome_unknown
        assert isinstance(error.value, TimeoutError)


def test_an_answer_that_trickles_ends_with_the_deadline(server: Begin, kind: Any) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.01)

    with calling(kind, server(trickle).url, read_seconds=5, deadline=0.3) as client:
        begun = time.monotonic()
        with pytest.raises(TimedOutError, match="no whole answer within"):
            client.get_model()
        assert time.monotonic() - begun < 5, "it would have gone on until the limit of one read"


def test_a_call_has_a_deadline_of_its_own(server: Begin, kind: Any) -> None:
    with calling(kind, server(until_closed).url, deadline=3600) as client:
        with pytest.raises(TimedOutError, match=r"deadline 0\.05 s"):
            client.predict(EXAMPLE, deadline=0.05)
        with pytest.raises(TimedOutError, match=r"deadline 0\.05 s"):
            list(client.predict_stream([EXAMPLE], deadline=0.05))
        with pytest.raises(TimedOutError, match=r"deadline 0\.05 s"):
            client.update_stream([EXAMPLE], deadline=0.05)


def test_after_it_was_late_the_client_goes_on(server: Begin, kind: Any) -> None:
    seen = []

    def late(connection: socket.socket) -> None:
        while piece := connection.recv(1 << 16):
            seen.append(piece)
            if len(seen) > 8:
                connection.sendall(READY)

    with calling(kind, server(late).url) as client:
        while len(seen) <= 8:
            with suppress(TimedOutError):
                client.get_model(deadline=0.03)
        assert not client.get_model(deadline=30)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"no HTTP at all\r\n\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_none(server: Begin, kind: Any, said: bytes) -> None:
    broken = [said, said]

    def serve(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            connection.sendall(broken.pop() if broken else READY)
            if begun.connections < 3:
                return

    begun = server(serve)
    with calling(kind, begun.url) as client:
        assert not client.create_model("ads")
    assert begun.connections == 3


def test_an_answer_that_cannot_be_decoded_is_told(server: Begin, kind: Any) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(READY.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
        until_closed(connection)

    begun = server(serve)
    with calling(kind, begun.url) as client:
        with pytest.raises(UnavailableError, match="DecodingError") as error:
            client.create_model("ads")
        assert error.value.outcome_unknown
    assert begun.connections == 1


def test_an_answer_that_comes_before_the_body_was_read_is_one(
    server: Begin, kind: Any, tmp_path: Path
) -> None:
    def early(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(
            b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        connection.shutdown(socket.SHUT_WR)
        until_closed(connection)

    large = tmp_path / "large"
    large.write_bytes(bytes(20 << 20))
    with (
        calling(kind, server(early).url) as client,
        pytest.raises(TooLargeError, match=r"413 (Request Entity|Content) Too Large"),
    ):
        client.import_model("ads", large, deadline=20)


def test_a_connection_is_used_again(server: Begin, kind: Any) -> None:
    def serve(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            connection.sendall(READY)

    kept = server(serve)
    with calling(kind, kept.url) as client:
        for _ in range(5):
            assert not client.get_model()
    assert kept.connections == 1


def test_a_certificate_that_nobody_trusts_is_not_tried_again(
    server: Begin, kind: Any, tmp_path: Path
) -> None:
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", "key.pem", "-out", "certificate.pem"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            while secure.recv(1 << 16):
                secure.sendall(READY)

    begun = server(serve)
    url = begun.url.replace("http:", "https:")
    with (
        calling(kind, url, deadline=3600) as client,
        pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get_model()
    assert begun.connections == 1
    trusting = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    with calling(kind, url, ssl_context=trusting) as client:
        assert not client.get_model()


FORKING = """
import os, sys
from nonzero_client import Client

with Client(sys.argv[1]) as client:
    assert client.is_ready()
    before = client._driver._http
    child = os.fork()
    if not child:
        os._exit(0 if client.is_ready() and client._driver._http is not before else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert client._driver._http is before
    assert client.is_ready()
"""


def test_a_forked_process_has_connections_of_its_own(service: ServiceProcess) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", "-c", FORKING, service.url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_may_share_one(service: ServiceProcess) -> None:
    found = []
    with Client(service.url) as client:
        threads = [
            threading.Thread(target=lambda: found.append(client.predict_one({"features": {"a": "b"}})))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 16
    assert len({one.probability for one in found}) == 1


def test_calls_of_one_event_loop_go_side_by_side(service: ServiceProcess) -> None:
    async def all_at_once() -> list[Any]:
        async with AsyncClient(service.url) as client:
            calls = (client.predict_one({"features": {"a": "b"}}) for _ in range(16))
            return list(await asyncio.gather(*calls))

    assert len({one.probability for one in asyncio.run(all_at_once())}) == 1


def test_a_sync_client_may_be_used_where_a_loop_runs(service: ServiceProcess) -> None:
    """As in a notebook, whose cells run on a loop."""

    async def cell() -> int:
        with Client(service.url) as client:
            stream = client.predict_stream(({"features": {"a": str(i)}} for i in range(9)), batch_size=2)
            next(stream)
            stream.close()  # type: ignore[attr-defined]
            return len(list(client.predict_stream([{"features": {}}] * 9, batch_size=2)))

    assert asyncio.run(cell()) == 9


def test_a_call_that_is_cancelled_is_cancelled(server: Begin) -> None:
    async def cancelled(url: str) -> None:
        async with AsyncClient(url) as client:
            async with asyncio.timeout(0.1):
                await client.get_model()

    with pytest.raises(TimeoutError) as error:
        asyncio.run(cancelled(server(until_closed).url))
    assert not isinstance(error.value, TimedOutError)


def test_a_transport_of_ones_own() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, request.headers["user-agent"].split("/")[0]))
        return httpx.Response(200, json={"models": []})

    with Client("http://nonzero/ctr/", transport=httpx.MockTransport(answer)) as client:
        assert client.list_models() == []
    assert asked == [("GET", "/ctr/v1/models", "nonzero-client")]


def test_a_coroutine_that_waits_for_a_loop_is_ended() -> None:
    ended = []

    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            ended.append(True)
            await asyncio.sleep(0)

    with pytest.raises(InputError, match="needs an AsyncClient"):
        run(waits())
    assert ended == [True]


def test_used_after_it_was_closed(service: ServiceProcess, kind: Any) -> None:
    client: Calling = calling(kind, service.url)
    if kind is Client:
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.get_model()
    else:
        inner: Any = client
        inner._runner.run(inner.inner.close())
        with pytest.raises(RuntimeError, match="closed"):
            client.get_model()
        client.close()
