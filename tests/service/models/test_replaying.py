"""How far a replay is: a bar on a terminal, lines in the log elsewhere."""

from __future__ import annotations

import os
import pty

import pytest
from structlog.testing import capture_logs

from nonzero_service.models import replaying
from nonzero_service.models.replaying import ReplayProgress


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setattr(replaying, "PATIENCE", 0.0)
        with capture_logs() as said, ReplayProgress("clicks") as progress:
            for position in range(1, 11):
                progress(position, 10)
        print("the end", file=terminal, flush=True)
        shown = b""
        while b"the end" not in shown:  # a terminal gives what was written piece by piece
            shown += screen.read(2**12)
    assert b"replaying clicks" in shown
    assert said == []


def test_a_line_now_and_then_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "SAY_SECONDS", 0.0)
    with capture_logs() as said, ReplayProgress("clicks") as progress:
        progress(7, 10)
    assert [(line["event"], line["model"], line["position"], line["end"]) for line in said] == [
        ("replaying", "clicks", 7, 10)
    ]


def test_a_short_replay_says_nothing() -> None:
    with capture_logs() as said, ReplayProgress("clicks") as progress:
        progress(10, 10)
    assert said == []
