"""A network that is broken in a test: refused, held, and let through again."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from links import Link
from postgres import Cluster


@pytest.fixture
def link(postgres: Cluster) -> Iterator[Link]:
    with Link([postgres.primary.port]) as link:
        yield link


@pytest.fixture
def echo() -> Iterator[tuple[Link, socket.socket, socket.socket]]:
    """A link, and both ends of a connection over it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Link([listener.getsockname()[1]]) as link,
        socket.create_connection(("127.0.0.1", link.ports[0])) as near,
        listener.accept()[0] as far,
    ):
        near.settimeout(5)
        far.settimeout(5)
        yield link, near, far


def url_of(link: Link) -> str:
    return f"postgresql://postgres@127.0.0.1:{link.ports[0]}/postgres"


def test_a_client_sees_no_difference(link: Link) -> None:
    big = b"x" * 5_000_000
    with psycopg.connect(url_of(link)) as connection:
        assert connection.execute("SELECT %b || %b", [big, b"y"]).fetchone() == (big + b"y",)


def test_connections_are_dropped_and_refused_and_made_again(link: Link) -> None:
    with psycopg.connect(url_of(link)) as connection:
        link.cut()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url_of(link), connect_timeout=5)
    link.heal()
    with psycopg.connect(url_of(link)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_is_held_arrives_later(echo: tuple[Link, socket.socket, socket.socket]) -> None:
    link, near, far = echo
    link.stall()
    near.sendall(b"late")
    far.settimeout(0.05)
    with pytest.raises(TimeoutError):
        far.recv(4)
    link.heal()
    far.settimeout(5)
    assert far.recv(4) == b"late"


def test_only_answers_are_held(echo: tuple[Link, socket.socket, socket.socket]) -> None:
    link, near, far = echo
    link.stall(there=False)
    near.sendall(b"asked")
    assert far.recv(5) == b"asked"
    far.sendall(b"told")
    near.settimeout(0.05)
    with pytest.raises(TimeoutError):
        near.recv(4)
    link.heal()
    near.settimeout(5)
    assert near.recv(4) == b"told"


def test_an_end_is_passed_on(echo: tuple[Link, socket.socket, socket.socket]) -> None:
    _, near, far = echo
    near.shutdown(socket.SHUT_WR)
    assert far.recv(1) == b""
    far.sendall(b"still")
    assert near.recv(5) == b"still"
    far.close()
    with suppress(ConnectionResetError):
        assert near.recv(1) == b""
