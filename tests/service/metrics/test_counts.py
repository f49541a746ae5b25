"""What one process counted another can take over."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from nonzero_service import logs
from nonzero_service.metrics.counts import Counts


def lost(counts: Counts) -> float:
    [found] = [one for one in counts.collect() if one.name == "nonzero_log_lines_dropped"]
    return found.samples[0].value


def test_lost_lines_are_counted_once_wherever_they_were_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    writer, worker = Counts(), Counts()
    monkeypatch.setattr(logs, "dropped", lambda: 5)
    taken = worker.take()
    assert lost(worker) == 0
    monkeypatch.setattr(logs, "dropped", lambda: 7)
    again = worker.take()
    monkeypatch.setattr(logs, "dropped", lambda: 100)
    for one in (*taken, *again):
        writer.add(one)
    assert lost(writer) == 107


def test_what_is_taken_and_added_is_what_was_counted() -> None:
    """However much it is: it comes in parts, and is counted once."""
    whole, worker, writer = Counts(), Counts(), Counts()
    told: list[tuple[str, dict[str, int]]] = []
    writer.conflicting = lambda model, fields: told.append((model, fields))
    conflicts = {"a": {"site": 2, "hour": 1}, "b": {"site": 3}}
    worker.conflicts = lambda: conflicts
    for counts, parts in ((whole, 1), (worker, 2)):
        for n in range(500):
            if n == 250 and parts > 1:
                for one in worker.take():
                    writer.add(one)
                worker.conflicts = dict
            counts.observe(f"/{n % 230}", "POST", 200 + n % 3, n / 1024)  # sums without rounding
            counts.predicted("a", n)
            counts.rejected(f"m{n}", 1)
    taken = worker.take()
    assert max(map(len, taken)) < 1 << 16
    for one in taken:
        writer.add(one)
    assert sorted(generate_latest(writer).splitlines()) == sorted(generate_latest(whole).splitlines())
    assert writer.predictions == whole.predictions == {"a": sum(range(500))}
    assert writer.rejected_lines == whole.rejected_lines
    assert sorted(told, key=str) == [("a", {"hour": 1}), ("a", {"site": 2}), ("b", {"site": 3})]
    assert not worker.take()
