"""An address that several processes share is one service's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from nonzero_service.errors import AddressError
from nonzero_service.listening import beside, listen


def accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    with suppress(BlockingIOError):
        while True:
            yield listener.accept()[0]


def test_processes_of_a_service_share_an_address() -> None:
    [first] = listen("127.0.0.1", 0)
    with first, beside(first) as second:
        assert first.getsockname() == second.getsockname()
        counts = []
        for listener in (first, second):
            listener.listen(100)
            listener.setblocking(False)
        connected = [socket.create_connection(first.getsockname()) for _ in range(60)]
        for listener in (first, second):
            accepted = list(accept_all(listener))
            counts.append(len(accepted))
            for one in accepted:
                one.close()
        for one in connected:
            one.close()
    assert sum(counts) == 60
    assert min(counts) > 10


def test_an_address_that_another_service_shares_is_refused() -> None:
    [first] = listen("127.0.0.1", 0)
    with first, beside(first):
        first.listen()
        with pytest.raises(AddressError, match="in use"):
            listen(*first.getsockname())


def test_every_address_of_a_name_is_bound() -> None:
    listeners = listen("localhost", 0)
    found = socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    assert {one.getsockname()[0] for one in listeners} == {address[0] for *_, address in found}
    for one in listeners:
        one.close()
