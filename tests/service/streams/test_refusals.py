"""The log tells of all lines that were refused, in few lines of its own."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from nonzero_service.streams import refusals
from nonzero_service.streams.message_readers import Refusal
from nonzero_service.streams.refusals import RefusedLines


def test_all_are_told_of_though_nothing_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "QUIET_SECONDS", 0.3)

    async def refuse() -> None:
        lines = RefusedLines("ads")
        for offset in range(4):
            lines.add([Refusal("t", 0, offset, line, "why") for line in (1, 2)])
        await asyncio.sleep(0.5)
        lines.add([Refusal("t", 1, 9, 1, "why")])  # so soon after, it is not said
        lines.say()  # but at the end
        lines.say()
        await asyncio.sleep(0.4)

    with structlog.testing.capture_logs() as events:
        asyncio.run(refuse())
    said = [(event["lines"], event["partition"], event["offset"], event["line"]) for event in events]
    assert said == [(2, 0, 0, 1), (6, 0, 1, 1), (1, 1, 9, 1)]
