"""All challengers of a service: made, promoted and deleted; each step is done, or undone."""

from __future__ import annotations

import asyncio
from collections import UserDict
from pathlib import Path
from typing import Protocol

import structlog

from nonzero import LogisticRegression
from nonzero_service.errors import ChallengerError, HasChallengersError, UnknownModelError
from nonzero_service.incidental import incidentally
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.challenger_files import ChallengerPlace, load_challenger
from nonzero_service.models.challenger_making import begin_challenger, challenger_of
from nonzero_service.models.challenger_opening import open_challenger
from nonzero_service.models.changes import Changes
from nonzero_service.models.common import Common
from nonzero_service.models.folder import ModelFolder
from nonzero_service.models.memory import check_room
from nonzero_service.models.model_config import NewModelSettings
from nonzero_service.models.promoting import Promoted, check_policy, promote
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.writer.challenger_origin import Beginning
from nonzero_service.writer.followers import MOST


class ModelSharing(Protocol):
    """Lets other processes predict with models, whose memory they read."""

    def offer(self, name: str, model: LogisticRegression) -> None:
        """Let them predict with a model."""

    def withdraw(self, name: str) -> None:
        """Let them begin no other prediction with a model."""


class Challengers(UserDict[str, Challenger]):
    """The challengers that are served, by name. Used on the event loop.

    Parameters
    ----------
    settings
        The service's.
    folder
        Where all models are kept.
    changes
        Those that are going on.
    busy
        The names of models that are being made or removed.
    sharing
        Is told of a promotion; None where no other process predicts.
    """

    def __init__(
        self,
        settings: Settings,
        folder: ModelFolder,
        changes: Changes,
        busy: set[str],
        sharing: ModelSharing | None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._folder = folder
        self._changes = changes
        self._busy = busy
        self._sharing = sharing
        self._log = structlog.get_logger("models")

    async def make(
        self, common: Common, name: str, served: ServedModel, start: Beginning, own: NewModelSettings
    ) -> Challenger:
        """Make a challenger; its name is free.

        Parameters
        ----------
        common
            What all models share.
        name, served
            Its name, and whom it follows.
        start, own
            Where it starts, and its own settings.

        Raises
        ------
        ChallengerSettingsError
            Where it asks for what its champion's rows do not hold.
        HasChallengersError
            Where as many follow already as may.
        TooLargeError, SettingsError, OSError
            Where it cannot be made.
        """
        dependents = served.dependents
        if len(dependents.challengers) + dependents.expected >= MOST:
            raise HasChallengersError(
                f"{MOST} challengers follow {served.name!r} already, and each learns all that it learns: "
                "DELETE one first"
            )
        self._busy.add(name)
        dependents.expected += 1
        return await self._changes.run(self._made(common, name, served, start, own))

    async def promote(self, served: ServedModel, challenger: Challenger) -> Promoted:
        """Let a challenger go on under its champion's name.

        Parameters
        ----------
        served, challenger
            Both.

        Raises
        ------
        ChallengerError
            Where it is not as far, learns no more, or follows no more: nothing was changed.
        StorageError
            Where the journal takes no row: nothing was changed.
        """
        challenger.learner.check_whole()
        check_policy(served, challenger)
        if challenger.learner.follower.is_reading:
            raise ChallengerError(
                f"{challenger.name!r} reads what the journal held before: promote it when it is compared"
            )
        return await self._changes.run(self._promoted(served, challenger))

    async def delete(self, challenger: Challenger, served: ServedModel) -> None:
        """Delete a challenger, whatever it is doing.

        Parameters
        ----------
        challenger, served
            The challenger, and whom it follows.

        Raises
        ------
        UnknownModelError
            Where somebody else has deleted or promoted it just now.
        OSError
            Where the disk refuses; it is served as before then.
        """
        name = challenger.name
        async with challenger.snapshots.taking:  # what is being written, is
            if self.get(name) is not challenger:
                raise UnknownModelError(f"the model {name!r} has been deleted just now")
            gone = self._folder.take_away(name)  # what can fail comes first
            del self[name]
            self._busy.add(name)
        await self._changes.run(self._end(challenger, served, gone))

    async def _made(
        self, common: Common, name: str, served: ServedModel, start: Beginning, own: NewModelSettings
    ) -> Challenger:
        dependents = served.dependents
        try:
            async with served.snapshots.taking:  # no rows are given up meanwhile
                config = await challenger_of(served, own, start)
                check_room(config.bits, config.lanes)
                with self._folder.workplace() as made:
                    await asyncio.to_thread(begin_challenger, config, made)
                    path = self._folder.install(made, name)
                    try:
                        challenger = await self._opened(common, ChallengerPlace(name, path, config), served)
                    except BaseException:
                        self._folder.withdraw(name)
                        raise
                dependents.challengers = (*dependents.challengers, challenger)
        finally:
            dependents.expected -= 1
            self._busy.discard(name)
        self[name] = challenger
        self._log.info("created", model=name, follows=served.name, start=start, position=config.starts_after)
        return challenger

    async def _opened(self, common: Common, place: ChallengerPlace, served: ServedModel) -> Challenger:
        fields = self._settings.sliced_fields
        mapped = self._settings.recalibration == "on"
        brought = await asyncio.to_thread(
            load_challenger, place, served.stored.journal, fields, recalibrating=mapped
        )
        brought.history.is_new = True
        return await open_challenger(brought, served.parts, common, shared=self._sharing is not None)

    async def _promoted(self, served: ServedModel, challenger: Challenger) -> Promoted:
        name = challenger.name

        def replaced(new: LogisticRegression) -> None:
            del self[name]
            self._busy.add(name)
            if self._sharing is not None:
                self._sharing.withdraw(served.name)
                incidentally(self._sharing.offer, served.name, new)  # without, the writer predicts

        try:
            async with served.snapshots.taking, challenger.snapshots.taking:
                if self.get(name) is not challenger:  # it learns no more, and the row would wait for ever
                    raise ChallengerError(f"{name!r} was promoted or deleted just now")
                done = await promote(served, challenger, replaced)
            await challenger.let_go()
        finally:
            self._busy.discard(name)
        self._log.info("promoted", model=served.name, challenger=name, position=done.position)
        return done

    async def _end(self, challenger: Challenger, served: ServedModel, gone: Path) -> None:
        """End what works for a challenger whose directory is one no longer, and remove that."""
        served.dependents.remove(challenger)
        try:
            await challenger.let_go()
            await asyncio.to_thread(self._folder.remove, [gone])
        finally:
            self._busy.discard(challenger.name)
        self._log.info("deleted", model=challenger.name)
