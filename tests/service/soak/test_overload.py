"""Three times the requests that may be in flight, for a while, made by wrk: what becomes of the others."""

from __future__ import annotations

import json
import random
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from machine import computed, resident
from reporting import Figure
from service.conftest import ServiceProcess
from service.safety.raw import TOKENS, ask
from service.safety.test_overload import HOW_IT_IS

WRK = Path(__file__).parents[3] / "bench" / "one_example.lua"
MOST = 256
"""Requests in flight, of which updates may be three quarters."""

ROUNDS = 5
SECONDS = 4
QUESTIONS = ("/healthz", "/metrics")


@pytest.fixture
def service(fresh: Callable[..., ServiceProcess], tmp_path: Path) -> ServiceProcess:
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(f"{scope} {token}\n" for scope, token in TOKENS.items()))
    tokens.chmod(0o600)
    bounds = {"max_requests": MOST, "max_requests_per_client": MOST, "breaker": "off"}
    return fresh(token_file=str(tokens), bits=22, **bounds).until_ready()


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    """One example a line, of 39 features."""
    chance, path = random.Random(1), tmp_path / "bodies"
    examples = [
        {"features": {f"f{j}": f"v{chance.randrange(10_000)}" for j in range(39)}, "label": n % 2}
        for n in range(2000)
    ]
    path.write_text("\n".join(map(json.dumps, examples)))
    return path


class Load:
    """What some connections that ask again as soon as they are answered have got done."""

    def __init__(self, service: ServiceProcess, action: str, bodies: Path, connections: int) -> None:
        url = f"{service.url}/v1/models/default/{action}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "30s", "-s", str(WRK)]
        before = computed(service.pid)
        said = subprocess.run(
            [*command, url, "--", str(bodies), TOKENS["admin"]], check=True, capture_output=True
        ).stdout
        found = json.loads(said.splitlines()[-1])
        assert not found["failed"], found
        self.refused = found["refused"]
        done = found["requests"] - found["refused"]
        self.a_second = done / SECONDS
        self.a_computed_second = done / (computed(service.pid) - before)


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed: apt-get install wrk")
@pytest.mark.parametrize("action", ["predict", "update"])
def test_three_times_the_capacity(service: ServiceProcess, bodies: Path, action: str, figure: Figure) -> None:
    waits: list[list[tuple[float, float]]] = [[] for _ in QUESTIONS]
    ended = threading.Event()

    def ask_how_it_is() -> None:
        while not ended.wait(0.03):
            for found, question in zip(waits, HOW_IT_IS, strict=True):
                at, begun = time.perf_counter(), computed(service.pid)
                [answer] = ask(service.port, question)
                assert answer.status == 200
                found.append((time.perf_counter() - at, computed(service.pid) - begun))

    most = MOST if action == "predict" else MOST * 3 // 4
    Load(service, action, bodies, most)
    held = resident(service.pid)
    asking = threading.Thread(target=ask_how_it_is)
    peaks, loads = [], []
    for round_ in range(ROUNDS):
        peaks.append(Load(service, action, bodies, most // 2))
        if not round_:
            asking.start()
        loads.append(Load(service, action, bodies, 3 * most))
    ended.set()
    asking.join()
    grown = (resident(service.pid) - held) / 2**20
    goodput = statistics.median(
        load.a_computed_second / peak.a_computed_second for peak, load in zip(peaks, loads, strict=True)
    )
    by_clock = statistics.median(
        load.a_second / peak.a_second for peak, load in zip(peaks, loads, strict=True)
    )
    said = "; ".join(f"{path} {_shown(found)}" for path, found in zip(QUESTIONS, waits, strict=True))
    figure(
        f"one-example {action} of 39 features from {3 * most} connections, {most} of which may be in flight",
        "in a second of computing 80 % of what half of these get done alone; `/healthz`, `/metrics` in "
        "100 ms; memory flat",
        f"{100 * goodput:.0f} % (by the clock {100 * by_clock:.0f} %: {loads[-1].a_second:,.0f} against "
        f"{peaks[-1].a_second:,.0f} a second), {sum(load.refused for load in loads):,} refused; {said}; "
        f"{grown:+.0f} MB",
    )
    assert goodput > 0.8
    assert not peaks[0].refused
    assert all(load.refused for load in loads)
    for found in waits:
        assert sorted(map(min, found))[int(0.95 * len(found))] < 0.1
    assert grown < 64


def _shown(found: list[tuple[float, float]]) -> str:
    wall, least = sorted(at for at, _ in found), sorted(map(min, found))
    last = int(0.99 * len(found))
    return (
        f"median {1000 * wall[len(wall) // 2]:.0f} ms, p99 {1000 * wall[last]:.0f} ms, "
        f"of which the service computed {1000 * least[last]:.0f}"
    )
