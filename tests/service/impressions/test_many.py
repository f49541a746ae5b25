"""Very many pending impressions, in a real service: what they weigh, and what their end holds up."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import pytest

from waiting import until

Start = Callable[..., Any]
PATH = "/v1/models/default/predict"
NDJSON = {"content-type": "application/x-ndjson"}
LINES = 10_000


def bodies(n: int, first: int, ids: bool) -> Iterator[bytes]:
    """Make bodies of at most 10,000 examples of 39 features."""
    features = [
        ",".join(f'"f{k}":"v{(row * (k + 1) * 7919) % 50_000}"' for k in range(39)) for row in range(1000)
    ]
    for start in range(first, first + n, LINES):
        rows = range(start, min(start + LINES, first + n))
        yield "".join(
            f'{{"features":{{{features[row % 1000]}}}' + (f',"id":"impression-{row}"}}\n' if ids else "}\n")
            for row in rows
        ).encode()


def seconds_for(client: httpx.Client, contents: list[bytes]) -> float:
    start = time.perf_counter()
    for content in contents:
        assert client.post(PATH, content=content, headers=NDJSON).status_code == 200
    return time.perf_counter() - start


def pending(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("nonzero_pending_labels{"))


def anonymous_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon", "RssShmem")))


def shorten_windows(directory: Path) -> None:
    """Let all windows of a model have ended, while no service runs."""
    path = directory / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attribution_seconds": 0.001}))


class Scheduled(NamedTuple):
    """What a process has had of the processors, all threads together, in seconds."""

    running: float
    waiting: float
    """For others to let it run."""

    @classmethod
    def of(cls, pid: int) -> Self:
        tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
        found = [task.read_text().split() for task in tasks]
        return cls(sum(int(one[0]) for one in found) / 1e9, sum(int(one[1]) for one in found) / 1e9)

    def since(self, before: Scheduled) -> Scheduled:
        return Scheduled(self.running - before.running, self.waiting - before.waiting)

    @property
    def alone(self) -> bool:
        """Whether the clock tells of the process, and not of others beside it."""
        return self.waiting < 0.1 * self.running


@pytest.mark.parametrize("n", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_they_fit_into_memory_and_their_end_holds_no_prediction_up(
    fresh: Start, tmp_path: Path, n: int
) -> None:
    long = n == 1_000_000
    bits = 22 if long else 16
    running = fresh(bits=bits, negatives="window").until_ready()
    with running.client() as client:
        for content in bodies(n, 0, True):
            seconds_for(client, [content])
        until(lambda: pending(client) == n)
        # Once what was freed has gone back to the system.
        until(lambda: anonymous_bytes(running.process.pid) < (64 << bits) + 132e6)
        if long:
            ratios, alone = ratios_of_throughputs(client, running.process.pid)
            assert ratios["processor time"] >= 0.7
            assert ratios["clock"] >= 0.7 or not alone
        kept = pending(client)
    running.stop()
    shorten_windows(tmp_path / "data" / "models" / "default")
    running = fresh(bits=bits).until_ready()
    one = json.dumps({"features": {"f1": "v1"}})
    before = Scheduled.of(running.process.pid)
    slowest, looked = 0.0, time.perf_counter()
    with running.client() as client:
        while True:
            begun = time.perf_counter()
            client.post(PATH, content=one, headers={"content-type": "application/json"})
            slowest = max(slowest, time.perf_counter() - begun)
            if time.perf_counter() - looked > 0.3:
                if not pending(client):
                    break
                looked = time.perf_counter()
        # The last of them are claimed, and learned from when their row is in the journal.
        until(lambda: client.get("/v1/models/default").json()["sequence"] == kept)
        assert anonymous_bytes(running.process.pid) < (64 << bits) + 300e6
        had = Scheduled.of(running.process.pid).since(before)
    assert slowest < (0.02 if long else 2) or not had.alone


def ratios_of_throughputs(client: httpx.Client, pid: int) -> tuple[dict[str, float], bool]:
    """Predict with ids and without in turn; return how the two compare, and whether the clock tells that."""
    clock: dict[bool, list[float]] = {True: [], False: []}
    processor: dict[bool, list[float]] = {True: [], False: []}
    alone = True
    for run in range(12):
        for ids in (True, False) if run % 2 else (False, True):
            contents = list(bodies(2 * LINES, 10_000_000 + 2 * LINES * run, ids))
            before = Scheduled.of(pid)
            clock[ids].append(seconds_for(client, contents))
            had = Scheduled.of(pid).since(before)
            processor[ids].append(had.running)
            alone &= had.alone
    found = {"clock": clock, "processor time": processor}
    return {
        name: statistics.median(one[False]) / statistics.median(one[True]) for name, one in found.items()
    }, alone
