"""Promoting a challenger: from one row of the journal on it goes on under its champion's name.

The committer writes the row when the challenger has learned all that is in the journal. So what it has become
there is known, and what is queued behind is its to learn. A kill leaves the row there or not there: a start
finds it, folds the challenger up to it, and does what was left
(:mod:`nonzero_service.models.promotions`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from nonzero import LogisticRegression
from nonzero_service.errors import ChallengerError
from nonzero_service.impressions.taking_over import taken_over
from nonzero_service.incidental import incidentally
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.promotions import (
    finish_promotion,
    promoted_configuration,
    promotion_by,
    write_retired,
)
from nonzero_service.models.served import ServedModel
from nonzero_service.writer.entries import promotion_entry
from nonzero_service.writer.fold import take_over_notes
from nonzero_service.writer.promotion import Promotion
from nonzero_service.writer.sequences import sequence_of


class Promoted(NamedTuple):
    """What came of a promotion."""

    position: int
    """That of its row."""
    sequence: int
    """The examples up to there."""
    settings: dict[str, Any]
    """Those of the model that goes on."""


async def promote(
    served: ServedModel, challenger: Challenger, replaced: Callable[[LogisticRegression], object]
) -> Promoted:
    """Let a challenger go on under its champion's name; to be called while both take no snapshot.

    Parameters
    ----------
    served
        The champion, which nobody else changes meanwhile. When this returns, it is what the challenger was.
    challenger
        Who is promoted; it is served no more under its own name, and is to be let go afterwards.
    replaced
        Told of the new model, as soon as no prediction is made by the old one.

    Raises
    ------
    ChallengerError
        Where it learns no more: nothing was changed.
    StorageError
        Where the row cannot be written: nothing was changed.
    """
    learner, follower = served.learner, challenger.learner.follower
    old, new = learner.model, challenger.model
    rejoiner, promotions = follower.rejoiner, [promotion_by(challenger.name, challenger.config)]

    def may() -> bool:
        challenger.learner.check_whole()
        check_policy(served, challenger)  # learning may have paused since
        follower.is_awaited = True
        return not follower.is_reading and follower.position == served.stored.journal.position

    def entry() -> JournalEntry:
        if rejoiner is not None:  # at rest, as all is learned
            served_impressions = served.attribution
            taken = taken_over(served_impressions.impressions, rejoiner.store, served_impressions.now_ms)
            promotions.append(promotion_by(challenger.name, challenger.config, taken))
        return promotion_entry(promotions[-1])

    placed: list[int] = []

    def durable(position: int) -> None:
        placed.append(position)
        learner.committer.replace_model(new, promotions[-1].impressions)

    def apply() -> Promoted:
        learner.applier.followers.remove(follower)  # what comes now it learns in the champion's place
        take_over_notes(new, old)
        if old.shared is not None:
            old.shared.mark_withdrawn()  # before anything is learned that it does not know
        learner.replace_model(new)
        time_ms = served.parts.journal.clock.now_ms()
        served.history.history.promoted(new, old, placed[0], time_ms)
        return Promoted(placed[0], sequence_of(new), new.settings)

    try:
        done = await learner.change(entry, apply, may, durable)
    finally:
        follower.is_awaited = False
    replaced(new)
    served.names.replace_model(new)
    served.fields.replace_model(new)
    served.dependents.remove(challenger)
    challenger.history.leave()
    await challenger.learner.close()
    await _write(served, challenger, promotions[-1], done.position, old)
    return done


def check_policy(served: ServedModel, challenger: Challenger) -> None:
    """Refuse to promote one of a late-label policy of its own while learning is paused.

    Raises
    ------
    ChallengerError
        As what is held was joined by the policy of the champion.
    """
    if challenger.learner.follower.rejoiner is None:
        return
    if served.learner.pause.since is not None:
        raise ChallengerError(
            f"{served.name!r} has paused learning, and holds what its own policy joined: "
            f"POST /v1/models/{served.name}/resume before {challenger.name!r}, of another policy, is promoted"
        )


async def _write(
    served: ServedModel,
    challenger: Challenger,
    promotion: Promotion,
    position: int,
    old: LogisticRegression,
) -> None:
    """Let the files say what the journal says; what fails is left for the next start."""
    directory, log = served.parts.journal.directory, structlog.get_logger("challengers")
    served.config = promoted_configuration(served.config, promotion)
    try:
        await asyncio.to_thread(finish_promotion, directory, challenger.path, position, promotion)
    except Exception:  # noqa: BLE001 - the row is durable, and a start does the rest
        served.dependents.is_unfinished = True
        incidentally(log.exception, "a promotion is left to the next start", model=served.name)
        return
    try:
        await asyncio.to_thread(write_retired, directory, position, old)
    except Exception:  # noqa: BLE001 - it is there for people alone
        incidentally(log.exception, "the model before a promotion was not written", model=served.name)
