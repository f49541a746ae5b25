"""``python -m bench.page``: what an open page costs: one-example requests with it and without, in turn.

A real Chromium shows the model that the requests are of. Both see a server on a core of its own; what is
compared is its processor time for a request. A second table has what the page alone takes of a core, while
its model learns slowly: so little that no ratio would show it.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from bench.builds import T_95, interval
from bench.measure import cpu_seconds
from bench.running import Server, serving
from bench.service import DEFAULT, NEVER_PAUSED, SERVER_CORE, Load, one_example_bodies, request
from bench.workloads import ClickLog
from playwright.sync_api import Browser, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
CONNECTIONS = {"predict": 16, "update": 64}
SLOWLY = 40.0
"""Seconds that the second table takes of each."""
BOUND = 1.03
"""The ratio of costs that an open page may not lie wholly beyond."""


@contextlib.contextmanager
def opened(browser: Browser, server: Server) -> Iterator[None]:
    """Show the server's model."""
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/")
    expect(page.locator("#connection")).to_have_text("Live")
    yield
    page.close()


def costs(browser: Browser, server: Server, load: Load, pairs: int) -> Iterator[tuple[float, float]]:
    """Yield the costs of a request without an open page and with one, after a run that does not count."""
    load.rate()
    for n in range(pairs):
        found = {}
        for open_page in (True, False) if n % 2 else (False, True):
            with opened(browser, server) if open_page else contextlib.nullcontext():
                found[open_page] = 1 / load.rate()
        yield found[False], found[True]


def share(server: Server, body: bytes, seconds: float) -> float:
    """Return the share of a core that the server takes while it learns from two examples a second."""
    before, start = cpu_seconds(server.pid), time.perf_counter()
    while time.perf_counter() < start + seconds:
        request(server.port, "POST", f"{DEFAULT}/update", body)
        time.sleep(0.5)
    return (cpu_seconds(server.pid) - before) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15, choices=[n + 1 for n in T_95])
    parser.add_argument("--seconds", type=int, default=4, help="how long each side is measured")
    chosen = parser.parse_args()
    bodies = one_example_bodies(ClickLog(50_000))
    beyond = False
    with sync_playwright() as playwright, serving(core=SERVER_CORE, **NEVER_PAUSED) as server:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        print("| one-example | ratio of cost with an open page | 95 % |\n|---|---|---|")
        for action, connections in CONNECTIONS.items():
            load = Load(server, f"{DEFAULT}/{action}", bodies, connections, chosen.seconds)
            ratio, low, high = interval(list(costs(browser, server, load, chosen.pairs)))
            beyond |= low > BOUND
            print(f"| {action} | {ratio:.3f} | {low:.3f} to {high:.3f} |")
        body = bodies.read_bytes().partition(b"\n")[0]
        without = share(server, body, SLOWLY)
        with opened(browser, server):
            alone = share(server, body, SLOWLY)
        print(f"\n| of a core, two updates a second | |\n|---|---|\n| without the page | {without:.2%} |")
        print(f"| with it | {alone:.2%} |")
        browser.close()
    raise SystemExit(beyond)


if __name__ == "__main__":
    main()
