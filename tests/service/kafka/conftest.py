"""What a reader says; and topics that are looked at more often than a user has to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from nonzero_service.kafka import client_log, topic_watch


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_watch, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(client_log, "CALM_SECONDS", 0.5)


@pytest.fixture
def said() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as events:
        yield events  # type: ignore[misc]
