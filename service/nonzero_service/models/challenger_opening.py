"""Opening a challenger: all that works for it, beside its champion."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import structlog

from nonzero_service.history.keeping import HistoryKeeper
from nonzero_service.logs import described
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.challenger_files import StoredChallenger
from nonzero_service.models.challenger_learner import ChallengerLearner, ChampionParts
from nonzero_service.models.challenger_snapshots import ChallengerSnapshots
from nonzero_service.models.common import Common
from nonzero_service.models.memory_taking import take_memory
from nonzero_service.models.recovery import StoredModel


async def open_challenger(
    brought: StoredChallenger, champion: ChampionParts, common: Common, *, shared: bool
) -> Challenger:
    """Begin all that works for a challenger.

    Parameters
    ----------
    brought
        The challenger, as far as it was brought.
    champion
        Whom it follows.
    common
        What it shares with others.
    shared
        Whether its memory is to be such as other processes can read: where it is promoted they will.

    Raises
    ------
    OSError
        Where memory or threads are wanting.
    """
    name, settings = brought.place.name, common.settings
    log = structlog.get_logger("challengers")

    def failed(error: Exception) -> None:
        log.error(
            "a challenger learns no more",
            model=name,
            follows=champion.name,
            reason=described(error.__cause__ or error),
            way_out=f"DELETE /v1/models/{name}; its champion goes on",
        )

    await asyncio.to_thread(take_memory, brought.model, shared)
    brought.model.recalibrating = settings.recalibration == "on"
    async with AsyncExitStack() as opened:
        learner = ChallengerLearner(brought, champion, settings.sliced_fields, common.threads, failed)
        history = HistoryKeeper(brought.history, learner)
        opened.push_async_callback(history.close)  # when all is learned
        opened.push_async_callback(learner.close)
        newest = next(iter(brought.snapshots.all()), None)
        age = 0.0 if newest is None else newest.age_seconds
        stored = StoredModel(brought.model, champion.journal, brought.snapshots, tail_seconds=age)
        snapshots = ChallengerSnapshots(
            name,
            stored,
            learner,
            settings,
            common.snapshotting,
            history.save,
            champion.newest_snapshot,
        )
        opened.push_async_callback(snapshots.close)
        for watch in (snapshots, history):
            common.rounds.add(watch)
            opened.push_async_callback(common.rounds.remove, watch)
        return Challenger(name, brought, champion, learner, snapshots, history, opened.pop_all())
