"""Both clients, over a real service."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from client.calling import Calling, calling
from nonzero_client import AsyncClient, Client
from service import conftest
from service.conftest import ServiceProcess, Start, starting


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for all tests that do not need their own."""
    running = ServiceProcess(tmp_path_factory.mktemp("client") / "data", bits=12).until_ready()
    yield running
    assert running.stop() == 0
    assert not running.failures()


memory_path = conftest.memory_path


@pytest.fixture
def start(memory_path: Path) -> Iterator[Start]:
    """Start services of a test's own."""
    with starting(ServiceProcess, memory_path) as start_service:
        yield start_service


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session")
def clients(service: ServiceProcess) -> Iterator[dict[Any, Calling]]:
    with ExitStack() as stack:
        made = {kind: calling(kind, service.url) for kind in (Client, AsyncClient)}
        for one in made.values():
            stack.callback(one.close)
        yield made


@pytest.fixture
def client(clients: dict[Any, Calling], kind: Any) -> Calling:
    """Each of the clients, used as the sync one is."""
    return clients[kind]


_names = itertools.count()


@pytest.fixture
def model(client: Calling) -> Iterator[str]:
    """A new model of 2**12 slots; it is deleted after the test."""
    name = f"test-{next(_names)}"
    client.create_model(name, {"bits": 12, "learning_rate": 0.1})
    yield name
    client.delete_model(name)


async def slowly(items: Any) -> AsyncIterator[Any]:
    """Give items one by one, as an asynchronous source does."""
    for item in items:
        await asyncio.sleep(0)
        yield item
