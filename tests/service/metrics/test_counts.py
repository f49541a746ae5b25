"""What one process counted another can take over."""

from __future__ import annotations

import pytest

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
