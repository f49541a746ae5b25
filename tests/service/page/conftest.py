"""A real browser, Debian's Chromium without a window, that looks at real services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from service.conftest import ServiceProcess, starting
from service.page.models import Models

CHROMIUM = Path("/usr/bin/chromium")
PHONE, WIDE = 390, 1440

Watch = Callable[..., AbstractContextManager[Page]]


# No longer than its tests: while it runs, asyncio.run of other tests finds a loop and refuses.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM)
        yield running
        running.close()


@pytest.fixture(scope="module")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """What tabs have in common, with one that stays open: else each page takes the browser twice as long."""
    with closing(browser.new_context(reduced_motion="reduce")) as made:
        made.new_page()
        yield made


@pytest.fixture
def watch(browser: Browser, profile: BrowserContext) -> Watch:
    """Open the page of a service in a new tab; whatever the browser complains of fails the test."""

    @contextmanager
    def watched(
        url: str,
        *,
        width: int = WIDE,
        dark: bool = False,
        failing: tuple[str, ...] = (),
        alone: bool = False,  # where a test turns the clock, which is that of all tabs
    ) -> Iterator[Page]:
        own = browser.new_context(reduced_motion="reduce") if alone else None
        page = (own or profile).new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if dark else "light")
        complaints: list[str] = []
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        yield page
        page.close()
        if own is not None:
            own.close()
        # That a request failed a browser says by itself: only what a test makes fail may.
        failures = [one for one in complaints if one.startswith("Failed to load resource")]
        assert [one for one in complaints if one not in failures] == []
        assert [one for one in failures if not any(expected in one for expected in failing)] == []

    return watched


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """A service with models in all states that a page can be asked to show."""
    with starting(ServiceProcess, tmp_path_factory.mktemp("page")) as start:
        running = start(bits=12, slices="site").until_ready()
        with running.client() as client:
            yield Models(running.url, client)
        assert not [line for line in running.failures() if line["event"] != "learning is paused"]
