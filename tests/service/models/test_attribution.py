"""Labels whose clients leave before they are answered, and what fails before the journal has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from nonzero import Batch
from nonzero.formats.json_bodies import parse_body
from nonzero_service.errors import QueueFullError
from nonzero_service.impressions.joiner import Joiner
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.models import rounds
from nonzero_service.models.registry import Models
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.writer.group_rows import GroupRows
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.work import Applied, StreamState, until_ended
from service.failures import no_failure
from waiting import SECONDS, until_in_loop


async def predict(served: ServedModel, batch: Batch) -> None:
    """Predict with ids, as a request does."""
    keeper = served.keeper
    keeper.keep(batch, served.model.predict(batch))
    await keeper.synced()


async def committed(served: ServedModel) -> None:
    """Wait until all is committed that was queued."""
    await served.learner.run(lambda: None)


def test_a_label_that_was_left_may_be_sent_again(tmp_path: Path) -> None:
    """Wherever it was left: queued, looked up, or learned from."""

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=8, negatives="at_end"), no_failure)
        await models.open()
        served = models.get("default")
        for turns in range(12):
            await predict(served, parse_body(b'{"features": {"site": "news"}, "id": "%d"}' % turns))
            left = asyncio.ensure_future(served.attribution.label([str(turns)], [1]))
            for _ in range(turns):
                await asyncio.sleep(0 if turns < 6 else 0.0005)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            async with asyncio.timeout(SECONDS):
                again = await served.attribution.label([str(turns)], [1])
            assert again.verdicts[0] in ("joined", "duplicate")
        assert served.model.examples == 12
        await models.close()

    asyncio.run(run())


def test_an_update_that_was_left_may_be_sent_again(tmp_path: Path) -> None:
    """One that is a label leaves its impression as it was, or has labelled it, wherever it was left."""

    async def update(served: ServedModel, batch: Batch) -> Applied:
        stream = StreamState()
        return await until_ended(served.learner.submit(batch, stream=stream), stream)

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=8, negatives="at_end"), no_failure)
        await models.open()
        served = models.get("default")
        for turns in range(12):
            batch = parse_body(b'{"features": {"site": "news"}, "id": "%d", "label": 1}' % turns)
            await predict(served, batch)
            left = asyncio.ensure_future(update(served, batch))
            for _ in range(turns):
                await asyncio.sleep(0 if turns < 6 else 0.0005)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            async with asyncio.timeout(SECONDS):
                again = await update(served, batch)
            assert list(again.verdicts) in (["joined"], ["duplicate"])
        assert served.model.examples == 12
        assert served.attribution.impressions.pending == 0
        await models.close()

    asyncio.run(run())


def test_an_update_for_which_there_is_no_room_may_be_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=8), no_failure)
        await models.open()
        served = models.get("default")
        impressions = served.attribution.impressions
        batch = parse_body(b'{"features": {"site": "news"}, "id": "full", "label": 1}')
        await predict(served, batch)
        await committed(served)
        with monkeypatch.context() as patch:
            patch.setattr(served.learner, "queue_bytes", 1)
            served.learner.queued_bytes += 1
            with pytest.raises(QueueFullError):
                served.learner.submit(batch)
            served.learner.queued_bytes -= 1
        assert (impressions.pending, +impressions.updates) == (1, {})
        await served.learner.submit(batch)
        assert (impressions.pending, impressions.updates) == (0, {"joined": 1})
        await models.close()

    asyncio.run(run())


def test_predictions_for_which_there_is_no_room_are_answered_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where impressions are buffered; one that was promised to be durable is refused."""
    monkeypatch.setattr("nonzero_service.models.impression_keeper.PATIENCE", 0.01)

    async def run(keeping: str) -> None:
        settings = Settings.load(data_dir=tmp_path / keeping, bits=8, impressions=keeping)
        models = Models(settings, no_failure)
        await models.open()
        served = models.get("default")
        batch = parse_body(b'{"features": {"site": "news"}, "id": "full"}')
        served.learner.queued_bytes += settings.queue_bytes
        if keeping == "durable":
            with pytest.raises(QueueFullError):
                await predict(served, batch)
        else:
            await predict(served, batch)
        served.learner.queued_bytes -= settings.queue_bytes
        impressions = served.attribution.impressions
        assert (impressions.counts["lost"], impressions.pending) == (1, 0)
        await predict(served, batch)
        await committed(served)
        assert (impressions.counts["lost"], impressions.pending) == (1, 1)
        await models.close()

    for keeping in ("buffered", "durable"):
        asyncio.run(run(keeping))


@pytest.mark.sampled(8)
@pytest.mark.parametrize("error", [RuntimeError, OSError])
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (Joiner, "end"),
        (ImpressionStore, "forget"),
        (ModelLearner, "end_windows"),
        (GroupRows, "entries"),
    ],
)
@pytest.mark.parametrize("negatives", ["at_once", "window", "at_end"])
def test_windows_end_though_a_look_at_them_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    method: str,
    error: Callable[[], Exception],
    negatives: str,
) -> None:
    usual = getattr(kind, method)
    failed: list[bool] = []

    def once(*given: Any, **named: Any) -> Any:
        if not failed:
            failed.append(True)
            raise error()
        return usual(*given, **named)

    monkeypatch.setattr(rounds, "LOOK_SECONDS", 0.02)
    settings = Settings.load(
        data_dir=tmp_path, bits=8, attribution_seconds=0.05, breaker="off", negatives=negatives
    )

    async def run() -> None:
        models = Models(settings, no_failure)
        await models.open()
        served = models.get("default")
        batch = parse_body(b'{"examples": [{"features": {}, "id": "a"}, {"features": {}, "id": "b"}]}')
        await predict(served, batch)
        await committed(served)
        with monkeypatch.context() as patched:
            patched.setattr(kind, method, lambda self, *args, **named: once(self, *args, **named))
            async with asyncio.timeout(SECONDS):
                await until_in_loop(lambda: failed and served.model.examples == 2)
                await until_in_loop(lambda: served.attribution.impressions.windows.ended == 2)
        assert served.attribution.impressions.pending == 0
        await models.close()
        assert served.model.examples == 2

    with structlog.testing.capture_logs() as logged:
        asyncio.run(run())
    expected = "warning" if error is OSError else "error"
    assert [line["log_level"] for line in logged if line["event"] == "windows could not be ended"] == [
        expected
    ]
