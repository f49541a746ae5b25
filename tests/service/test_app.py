"""The application: FastAPI is made by a thread, once, when somebody needs it or the models are open."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from nonzero_service import app as module
from nonzero_service.api.framework_app import FrameworkApp
from nonzero_service.app import create_app
from nonzero_service.service import Service
from nonzero_service.settings import Settings


def asked(tmp_path: Path, *rounds: tuple[str, ...]) -> list[list[int]]:
    """Ask a new application, which opens no models, for paths, those of a round at once; return statuses."""

    async def ask() -> list[list[int]]:
        app = create_app(Settings.load(data_dir=tmp_path))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return [
                [answer.status_code for answer in await asyncio.gather(*map(client.get, paths))]
                for paths in rounds
            ]

    return asyncio.run(ask())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that have made FastAPI's application; the first finds no descriptor free."""
    threads: list[threading.Thread] = []
    make: Callable[[Service], FrameworkApp] = module._make_framework

    def fail_once(service: Service) -> FrameworkApp:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return make(service)

    monkeypatch.setattr(module, "_make_framework", fail_once)
    return threads


def test_probes_do_not_need_it(made: list[threading.Thread], tmp_path: Path) -> None:
    assert asked(tmp_path, ("/healthz", "/readyz", "/nowhere")) == [[200, 503, 404]]
    assert made == []


def test_it_is_made_once_by_a_thread_and_tried_again_where_it_failed(
    made: list[threading.Thread], tmp_path: Path
) -> None:
    statuses = asked(tmp_path, ("/docs", "/docs"), ("/docs", "/docs/start.js"), ("/docs",))
    assert statuses == [[503, 503], [200, 200], [200]]
    assert len(made) == 2
    assert threading.main_thread() not in made
