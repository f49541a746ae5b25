"""Labels whose clients leave before they are answered."""

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
from nonzero_service.impressions.claims import Claims
from nonzero_service.impressions.matching import MatchedUpdate
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.models import window_watch
from nonzero_service.models.registry import Models
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.work import StreamState, until_ended
from service.failures import no_failure
from waiting import SECONDS, until_in_loop


def test_a_label_that_was_left_may_be_sent_again(tmp_path: Path) -> None:
    """Wherever it was left: while its prediction was looked up, queued, or learned from."""

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=8), no_failure)
        await models.open()
        served = models.get("default")
        for turns in range(12):
            batch = parse_body(b'{"features": {"site": "news"}, "id": "%d"}' % turns)
            served.keeper.keep(batch, served.model.predict(batch))
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
    """One that is a label gives its impression back, or has labelled it, wherever it was left."""

    async def update(served: ServedModel, batch: Batch) -> MatchedUpdate:
        stream = StreamState()
        met = await served.attribution.meet(batch)
        await until_ended(served.attribution.submit(met, stream=stream), stream)
        return met

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=8), no_failure)
        await models.open()
        served = models.get("default")
        for turns in range(12):
            batch = parse_body(b'{"features": {"site": "news"}, "id": "%d", "label": 1}' % turns)
            served.keeper.keep(batch, served.model.predict(batch))
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
        batch = parse_body(b'{"features": {"site": "news"}, "id": "full", "label": 1}')
        served.keeper.keep(batch, served.model.predict(batch))
        with monkeypatch.context() as patch:
            patch.setattr(served.learner, "queue_bytes", 1)
            served.learner.queued_bytes += 1
            met = await served.attribution.meet(batch)
            with pytest.raises(QueueFullError):
                served.attribution.submit(met)
            served.learner.queued_bytes -= 1
        assert served.attribution.impressions.pending == 1
        assert not served.attribution.updates
        again = await served.attribution.meet(batch)
        await served.attribution.submit(again)
        assert served.attribution.updates == {"joined": 1}
        assert served.attribution.impressions.pending == 0
        await models.close()

    asyncio.run(run())


@pytest.mark.parametrize("error", [RuntimeError, OSError])
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (Claims, "expire"),
        (ImpressionStore, "forget"),
        (ModelLearner, "submit"),
        (ModelLearner, "room"),
    ],
)
def test_windows_end_though_a_look_at_them_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    method: str,
    error: Callable[[], Exception],
) -> None:
    usual = getattr(kind, method)
    failed: list[bool] = []

    def once(*given: Any, **named: Any) -> Any:
        if not failed:
            failed.append(True)
            raise error()
        return usual(*given, **named)

    monkeypatch.setattr(window_watch, "LOOK_SECONDS", 0.02)
    settings = Settings.load(data_dir=tmp_path, bits=8, attribution_seconds=0.05, breaker="off")

    async def run() -> None:
        models = Models(settings, no_failure)
        await models.open()
        served = models.get("default")
        batch = parse_body(b'{"examples": [{"features": {}, "id": "a"}, {"features": {}, "id": "b"}]}')
        served.keeper.keep(batch, served.model.predict(batch))
        with monkeypatch.context() as patched:
            patched.setattr(kind, method, lambda self, *args, **named: once(self, *args, **named))
            async with asyncio.timeout(SECONDS):
                await until_in_loop(lambda: failed and served.model.examples == 2)
        assert served.attribution.impressions.pending == 0
        await models.close()
        assert served.model.examples == 2

    with structlog.testing.capture_logs() as logged:
        asyncio.run(run())
    expected = "warning" if error is OSError else "error"
    assert [line["log_level"] for line in logged if line["event"] == "windows could not be ended"] == [
        expected
    ]


@pytest.mark.parametrize("where", ["room", "submit"])
def test_what_fails_before_the_learner_has_it_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Whatever it is, and for labels as for windows that have ended."""

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=8), no_failure)
        await models.open()
        served = models.get("default")
        store = served.attribution.impressions
        batch = parse_body(b'{"features": {"site": "news"}, "id": "late"}')
        served.keeper.keep(batch, served.model.predict(batch))
        failed = asyncio.Event()

        def fail(*_: Any, **__: Any) -> Any:
            failed.set()
            raise RuntimeError("not expected")

        await served.windows.close()  # its own task: here windows end when they are told to
        with monkeypatch.context() as patch:
            patch.setattr(served.learner, where, fail)
            if where == "submit":
                with pytest.raises(RuntimeError):
                    await served.attribution.label(["late"], [1])
            clock = served.learner.journal.clock
            clock.set(clock.now_ms() + 3_600_000)
            with pytest.raises(RuntimeError):
                await served.windows.expire()
            assert failed.is_set()
            assert (store.pending, store.counts["expired"], store.counts["joined"]) == (1, 0, 0)
        assert await served.windows.expire()
        assert (store.pending, store.counts["expired"], served.model.examples) == (0, 1, 1)
        await models.close()

    asyncio.run(run())
