"""Opening a model: what is kept of it, and all that works for it, one after another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.models.attribution import Attribution
from nonzero_service.models.clocks import ClockWatch
from nonzero_service.models.field_watch import FieldWatch
from nonzero_service.models.impression_keeper import ImpressionKeeper
from nonzero_service.models.impression_opening import open_impressions, rules_of
from nonzero_service.models.model_config import config_of
from nonzero_service.models.names import FieldNames
from nonzero_service.models.recovery import StoredModel, recover
from nonzero_service.models.replaying import ReplayProgress
from nonzero_service.models.served import ServedModel
from nonzero_service.models.slicing import Slices
from nonzero_service.models.snapshot_scheduler import SnapshotScheduler
from nonzero_service.models.window_watch import WindowWatch
from nonzero_service.settings import Recalibrating, Settings
from nonzero_service.writer.breaker import Bounds, Breaker
from nonzero_service.writer.entries import recalibration_entry, start_of
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.pause import PauseState


async def open_model(
    name: str, path: Path, settings: Settings, on_failure: Callable[[Exception], None], *, shared: bool
) -> ServedModel:
    """Bring a model to where it was, and begin all that works for it.

    Parameters
    ----------
    name, path
        The model's, and its directory.
    settings
        The service's.
    on_failure
        Told when it can learn no more until the process is started anew.
    shared
        Whether its memory is to be such as other processes can read.

    Raises
    ------
    SnapshotError, StorageError
        Where it is damaged; the message names the file.
    OSError
        Where the disk refuses, or descriptors or memory are wanting.
    """
    async with AsyncExitStack() as opened:
        config = config_of(path)
        with ReplayProgress(name) as progress:
            stored = await asyncio.to_thread(recover, path, settings.durability, progress)
        opened.push_async_callback(asyncio.to_thread, stored.journal.close)
        rules = rules_of(config, settings)
        impressions = await asyncio.to_thread(open_impressions, name, stored.journal, rules)
        impressions.not_after(stored.journal.clock.now_ms())
        await asyncio.to_thread(_recalibrate, stored, settings.recalibration)
        await asyncio.to_thread(_take_memory, stored.model, shared)
        breaker = await asyncio.to_thread(_breaker_of, stored, settings, impressions)
        pause = PauseState(breaker, stored.pause)
        learner = ModelLearner(
            name,
            stored.model,
            stored.journal,
            settings.queue_bytes,
            on_failure,
            pause,
            settings.max_weight,
            impressions,
        )
        opened.push_async_callback(learner.close)
        snapshots = SnapshotScheduler(name, stored, learner, settings, impressions.needed_from)
        opened.push_async_callback(snapshots.close)
        attribution = Attribution(impressions, learner)
        windows = WindowWatch(name, attribution)
        opened.push_async_callback(windows.close)
        slices = Slices(settings.sliced_fields)
        names = FieldNames(stored.model.notes, slices, stored.model.schema)
        fields = FieldWatch(name, stored.model, slices.fields, names.all)

        def learned(batch: Batch, probabilities: NDArray[np.float32]) -> None:
            if slices.fields:
                slices.learned(batch, probabilities)
            fields.learned(batch)

        learner.applier.learned = learned
        clock = ClockWatch(name, stored.journal, learner, attribution)
        opened.push_async_callback(clock.close)
        return ServedModel(
            name=name,
            config=config,
            stored=stored,
            learner=learner,
            snapshots=snapshots,
            impressions=ImpressionKeeper(name, impressions, learner, settings.impressions),
            attribution=attribution,
            windows=windows,
            names=names,
            slices=slices,
            clock=clock,
            fields=fields,
            resources=opened.pop_all(),
        )


def _take_memory(model: LogisticRegression, shared: bool) -> None:
    """Take all of a model's memory, so that nobody waits for it later."""
    if shared:
        model.share()
    else:
        model.table.take()


def _breaker_of(stored: StoredModel, settings: Settings, impressions: ImpressionStore) -> Breaker | None:
    """Return the circuit breaker of a model; None where it is switched off."""
    if settings.breaker == "off":
        return None
    bounds = Bounds(settings.breaker_click_odds, settings.breaker_unseen, settings.breaker_loss)
    # What a model that came as a file has learned from elsewhere need not be like what comes here.
    whole = stored.journal.first_position == 1
    since = start_of(next(stored.journal.read(1))).examples if whole else 0
    now_ms = max(time.time_ns() // 1_000_000, stored.journal.time_ms)
    return Breaker(stored.model, bounds, impressions, now_ms, since)


def _recalibrate(stored: StoredModel, wanted: Recalibrating) -> None:
    """Begin to learn a map of the predictions, where one is wanted and there is none; serve by it, or not."""
    if wanted != "off" and stored.model.recalibration() is None:
        stored.journal.append([recalibration_entry()])
        stored.model.begin_recalibration()
    stored.model.recalibrating = wanted == "on"
