"""How far a replay is: a bar on a terminal, lines in the log elsewhere."""

from __future__ import annotations

import os
import pty

import pytest
from structlog.testing import capture_logs

from nonzero_service.models import replaying
from nonzero_service.models.replaying import ReplayProgress


def _available(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 2**12)
    except BlockingIOError:
        return b""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setattr(replaying, "PATIENCE", 0.0)
        with capture_logs() as said, ReplayProgress("clicks") as progress:
            for position in range(1, 11):
                progress(position, 10)
        shown = os.read(ours, 2**16).decode()
    os.close(ours)
    assert "replaying clicks" in shown
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
