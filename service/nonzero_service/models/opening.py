"""Opening a model: what is kept of it, and all that works for it, one after another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.history.history import History
from nonzero_service.history.keeping import HistoryKeeper, changed_by
from nonzero_service.history.retelling import retold
from nonzero_service.impressions.event_clock import EventClock
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.tailing import TailedImpressions
from nonzero_service.journal.chain import JournalRow
from nonzero_service.models.attribution import Attribution
from nonzero_service.models.challenger_files import ChallengerPlace
from nonzero_service.models.challenger_learner import ChampionParts
from nonzero_service.models.challenger_opening import open_challenger
from nonzero_service.models.clocks import ClockWatch
from nonzero_service.models.common import Common
from nonzero_service.models.data_directory import check_model
from nonzero_service.models.dependents import Dependents
from nonzero_service.models.field_watch import FieldWatch
from nonzero_service.models.followed_windows import FollowedWindows
from nonzero_service.models.impression_keeper import ImpressionKeeper
from nonzero_service.models.impression_opening import open_impressions, rules_of, say_damaged
from nonzero_service.models.memory_taking import take_memory
from nonzero_service.models.model_config import ModelConfig
from nonzero_service.models.names import FieldNames
from nonzero_service.models.promotions import finish_promotion, promotions_in
from nonzero_service.models.pruning import Pruning
from nonzero_service.models.recovery import StoredModel, bring_on, recover
from nonzero_service.models.replaying import ReplayProgress
from nonzero_service.models.replica import Folded, ReplicaState
from nonzero_service.models.rounds import Watch
from nonzero_service.models.served import ServedModel
from nonzero_service.models.slicing import Slices
from nonzero_service.models.snapshot_scheduler import SnapshotScheduler
from nonzero_service.models.snapshot_store import SnapshotStore
from nonzero_service.models.window_watch import WindowWatch
from nonzero_service.settings import Recalibrating, Settings
from nonzero_service.writer.breaker import Bounds, Breaker
from nonzero_service.writer.entries import recalibration_entry, start_of
from nonzero_service.writer.impression_rows import READERS
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.origins import watermark_of
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.tail_applier import TailApplier
from nonzero_service.writer.tail_learner import TailLearner


async def open_model(
    name: str,
    path: Path,
    common: Common,
    *,
    shared: bool,
    challengers: Sequence[ChallengerPlace] = (),
    following: bool = False,
    folded: Folded | None = None,
    on_failure: Callable[[Exception], None] | None = None,
) -> ServedModel:
    """Bring a model to where it was, and begin all that works for it.

    Parameters
    ----------
    name, path
        The model's, and its directory.
    common
        What it shares with others.
    shared
        Whether its memory is to be such as other processes can read.
    challengers
        Those who follow it, and are opened with it.
    following
        Whether another process writes its journal: then nothing is written, and what is brought to its
        applier is folded.
    folded
        The model as it was in its last role in this process; None: it is loaded.
    on_failure
        Told when it can learn no more; None: what all share is told.

    Raises
    ------
    SnapshotError, StorageError
        Where it is damaged; the message names the file.
    OSError
        Where the disk refuses, or descriptors or memory are wanting.
    """
    settings = common.settings
    async with AsyncExitStack() as opened:
        brought = await asyncio.to_thread(
            _brought, name, path, common, shared, challengers, following, folded
        )
        config, stored, impressions = brought.config, brought.stored, brought.impressions
        opened.push_async_callback(asyncio.to_thread, stored.journal.close)
        learner = (TailLearner if following else ModelLearner)(
            stored.model,
            stored.journal,
            settings.queue_bytes,
            on_failure or common.on_failure,
            common.threads,
            PauseState(brought.breaker, stored.pause),
            settings.max_weight,
            impressions,
        )
        history = HistoryKeeper(brought.history, learner)
        opened.push_async_callback(history.close)  # when the learner has applied all
        opened.push_async_callback(learner.close)
        dependents = Dependents(path, impressions.needed_from)
        snapshots = SnapshotScheduler(
            name,
            stored,
            learner,
            settings,
            common.snapshotting,
            Pruning(name, stored, settings, dependents).prune,
            history.save,
        )
        opened.push_async_callback(snapshots.close)
        attribution = Attribution(impressions, learner)
        windows = WindowWatch(name, attribution)
        if folded is None:
            slices = Slices(settings.sliced_fields)
            names = FieldNames(stored.model.notes, slices, stored.model.schema)
            fields = FieldWatch(name, stored.model, slices.fields, names.all)
        else:
            slices, names, fields = folded.slices, folded.names, folded.fields

        def learned(batch: Batch, probabilities: NDArray[np.float32]) -> None:
            if slices.fields:
                slices.learned(batch, probabilities)
            fields.learned(batch)

        def learning(time_ms: int) -> None:
            kept.learning(learner.model, applier.position, time_ms, lambda: attribution.is_usual)

        kept, applier = brought.history, learner.applier
        applier.learned, applier.learning = learned, learning
        applier.changed = changed_by(kept, learner)
        clock = ClockWatch(name, stored.journal, learner, attribution)
        replica = None
        watches: list[Watch] = [snapshots, history]
        if isinstance(applier, TailApplier):
            tailed = TailedImpressions(impressions, READERS, partial(say_damaged, name))
            _tell(applier, kept, tailed, learner.pause)
            replica = ReplicaState(applier)
            watches.append(FollowedWindows(tailed, stored.journal))
        else:
            watches += [windows, clock]
        store = None
        if common.store is not None and not following:
            store = SnapshotStore(name, snapshots, common.store, common.storing)
            watches.append(store)
            opened.callback(store.end)
        for watch in watches:
            common.rounds.add(watch)
            opened.push_async_callback(common.rounds.remove, watch)
        champion = ChampionParts(
            name,
            stored.journal,
            learner,
            names,
            fields,
            lambda: snapshots.newest,
            lambda: attribution.is_usual,
        )
        opened.push_async_callback(dependents.let_go)
        for one in stored.challengers:
            challenger = await open_challenger(one, champion, common, shared=shared)
            dependents.challengers = (*dependents.challengers, challenger)
        return ServedModel(
            name=name,
            config=config,
            parts=champion,
            dependents=dependents,
            stored=stored,
            learner=learner,
            snapshots=snapshots,
            impressions=ImpressionKeeper(name, impressions, learner, settings.impressions),
            attribution=attribution,
            names=names,
            slices=slices,
            clock=clock,
            fields=fields,
            history=history,
            replica=replica,
            store=store,
            resources=opened.pop_all(),
        )


class _Brought(NamedTuple):
    """A model, brought to where it was."""

    config: ModelConfig
    stored: StoredModel
    impressions: ImpressionStore
    breaker: Breaker | None
    history: History


def _tell(applier: TailApplier, history: History, impressions: TailedImpressions, pause: PauseState) -> None:
    """Have all told that goes by what another process writes."""

    def followed(row: JournalRow) -> None:
        impressions.follow(row)
        pause.follow(row)

    applier.followed = followed
    applier.retold = lambda model, row, apply: retold(history, model, row, apply, learns=row.count > 0)


def _brought(
    name: str,
    path: Path,
    common: Common,
    shared: bool,
    challengers: Sequence[ChallengerPlace],
    following: bool,
    folded: Folded | None,
) -> _Brought:
    """Bring a model to where it was, and those who follow it."""
    settings, config = common.settings, check_model(path)
    with ReplayProgress(name) as progress:
        if folded is not None:
            history = folded.history
            stored = bring_on(folded, path, common.journals.open, progress)
        else:
            history = History(path / "history", name)
            stored = recover(
                path,
                common.journals.open,
                progress,
                challengers,
                settings.sliced_fields,
                history,
                recalibrating=settings.recalibration == "on",
            )
    try:
        config = _finished(path, config, stored, challengers)
        rules = rules_of(config, settings)
        source = next((one for one in settings.source if one.model == name and one.labels), None)
        watermark = None if source is None else watermark_of(stored.model.notes) or 0
        if source is not None:
            rules = replace(rules, wait_ms=source.wait_ms)
        impressions = open_impressions(
            name, stored.journal, rules, following=following, watermark_ms=watermark
        )
        impressions.not_after(stored.journal.clock.now_ms())
        _recalibrate(stored, settings.recalibration, history, following=following)
        take_memory(stored.model, shared)
        breaker = None if following else _breaker_of(stored, settings, impressions)
        stored.journal.rest()
        return _Brought(config, stored, impressions, breaker, history)
    except BaseException:
        stored.journal.close()
        raise


def _finished(
    path: Path, config: ModelConfig, stored: StoredModel, challengers: Sequence[ChallengerPlace]
) -> ModelConfig:
    """Let the directory say what was promoted, where a kill came before; return the configuration."""
    gone = promotions_in(stored.journal) if challengers else {}
    for one in challengers:
        if one.origin.id in gone:
            config = finish_promotion(path, one.path, *gone[one.origin.id])
    return config


def _breaker_of(stored: StoredModel, settings: Settings, impressions: ImpressionStore) -> Breaker | None:
    """Return the circuit breaker of a model; None where it is switched off."""
    if settings.breaker == "off":
        return None
    bounds = Bounds(settings.breaker_click_odds, settings.breaker_unseen, settings.breaker_loss)
    # What a model that came as a file has learned from elsewhere need not be like what comes here.
    whole = stored.journal.first_position == 1
    since = start_of(next(stored.journal.read(1))).examples if whole else 0
    wall_ms = max(time.time_ns() // 1_000_000, stored.journal.time_ms)
    now_ms = EventClock(lambda: wall_ms, impressions).now_ms()
    return Breaker(stored.model, bounds, impressions, now_ms, since)


def _recalibrate(stored: StoredModel, wanted: Recalibrating, history: History, *, following: bool) -> None:
    """Begin to learn a map of the predictions, where one is wanted and there is none; serve by it, or not."""
    if not following and wanted != "off" and stored.model.recalibration() is None:
        position = stored.journal.append([recalibration_entry()])
        stored.model.begin_recalibration()
        history.changed(stored.model, next(stored.journal.read(position)))
    stored.model.recalibrating = wanted == "on"
