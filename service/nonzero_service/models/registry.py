"""Named models: open, create, delete, save, close. Each has a directory and a learner of its own.

``data_dir/models/<name>/`` holds ``model.json`` (:mod:`nonzero_service.models.model_config`), journal and
snapshots (:mod:`nonzero_service.journal`). A
directory is made whole under another name, and then renamed; to be deleted, it is renamed first
(:mod:`nonzero_service.models.folder`): so a kill leaves a model there or not there, and what fails is undone.
``data_dir/lock`` keeps a second service away; ``data_dir/format`` is written when the first start has made
the model ``default``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Unpack

import structlog

from nonzero.errors import SettingsError
from nonzero.model.settings import size_of
from nonzero_service.budget import check_descriptors
from nonzero_service.errors import (
    ChallengerError,
    HasChallengersError,
    UnknownModelError,
)
from nonzero_service.journal.descriptors import explain_shortage
from nonzero_service.journal.errors import JournalClosedError
from nonzero_service.journal.files import ensure_directory, keep_private
from nonzero_service.journal.lock import DirectoryLock
from nonzero_service.models.beginning import (
    Begin,
    begin_alone,
    begin_model,
    begin_model_from,
    check_import,
)
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.challenger_files import ChallengerPlace, challengers_among
from nonzero_service.models.challengers import Challengers, ModelSharing
from nonzero_service.models.changes import Changes
from nonzero_service.models.common import Common
from nonzero_service.models.data_directory import DataDirectory, begin, look
from nonzero_service.models.each import each
from nonzero_service.models.folder import ModelFolder
from nonzero_service.models.memory import check_room
from nonzero_service.models.model_config import ModelConfig, NewModelSettings, labelling_of
from nonzero_service.models.opening import open_model
from nonzero_service.models.promoting import Promoted
from nonzero_service.models.saving import save_all
from nonzero_service.models.served import Feed, ServedModel
from nonzero_service.models.served_models import ServedModels
from nonzero_service.settings import Settings
from nonzero_service.writer.challenger_origin import Beginning

DEFAULT: Final = "default"
"""The model that exists from the first start."""


class Models(ServedModels):
    """All models of a service: opened, made, deleted and closed; used on the event loop.

    Parameters
    ----------
    settings
        Where they are kept, and the settings of models that are made without their own.
    on_failure
        Told when a model can learn no more until the process is started anew.
    sharing
        Is told of each model; None where no other process predicts.
    """

    def __init__(
        self, settings: Settings, on_failure: Callable[[Exception], None], sharing: ModelSharing | None = None
    ) -> None:
        self.folder = ModelFolder(settings.data_dir / "models")
        self._changes = Changes()
        busy: set[str] = set()
        super().__init__(Challengers(settings, self.folder, self._changes, busy, sharing), busy)
        self.settings = settings
        self._sharing = sharing
        self._on_failure = on_failure
        self._common: Common | None = None
        self.failed = False
        """Whether something failed that only a new start mends: then nothing is saved at the end."""
        self.stop_by: float | None = None
        """By when a stop is to be over, by the monotonic clock, where that is known."""
        self.feeding: Callable[[ServedModel], Feed | None] = lambda _: None
        """Begins what has a model learn beside requests, when that is open for writing."""
        self._lock: DirectoryLock | None = None
        self._log = structlog.get_logger("models")

    # -- opening and closing ---------------------------------------------------------------------------

    async def open(self) -> None:
        """Open every stored model; the first time, make the default one.

        Raises
        ------
        LockedError
            Where another process has the data directory; it names the process.
        SnapshotError, StorageError
            Where a stored model is damaged; the message names its file.
        SettingsError
            Where a file is to be imported, and there is another model already.
        NoDescriptorsError
            Where there are more models than may be open; it names the limit.
        OSError
            Where the data directory cannot be used.
        """
        try:
            await self._open()
        except Exception:
            await self._let_all_go()
            raise
        self.ready = True

    async def _open(self) -> None:
        settings = self.settings
        found = await self._enter()
        for path in found.passed_over:
            self._log.warning("passed over: this is no model's name", path=str(path))
        if settings.import_file is not None and (found.begun or DEFAULT in found.models):
            await asyncio.to_thread(check_import, settings.import_file, DEFAULT, found.models.get(DEFAULT))
        self._common = Common(settings, self._on_failure)
        followed = await asyncio.to_thread(challengers_among, found.models)
        own = [(name, path) for name, path in found.models.items() if name not in followed.names]
        await each(own, lambda model: self._checked(*model, followed.of.get(model[0], ())))
        if not found.begun:
            if DEFAULT not in self._served:  # a kill may have come between it and the note
                trained = settings.import_file
                if trained is None:
                    await self.create(DEFAULT)
                else:
                    self._warn_of_differences(DEFAULT, (await self.create_from_file(DEFAULT, trained)).config)
            begin(settings.data_dir)
        await self._make_fed()

    async def _enter(self) -> DataDirectory:
        """Have the data directory, tidied; return what is in it."""
        data_dir = self.settings.data_dir
        ensure_directory(data_dir)
        self._lock = DirectoryLock(data_dir)
        found = look(data_dir)
        ensure_directory(self.folder.directory)
        await asyncio.to_thread(self.folder.remove, found.unfinished)
        await asyncio.to_thread(self._keep_private)
        return found

    async def _make_fed(self) -> None:
        """Make the models that a source is for, where they are not there.

        Raises
        ------
        SettingsError
            Where a source is for a challenger.
        """
        for source in self.settings.source:
            if source.model in self._challengers:
                champion = self._challengers[source.model].champion.name
                raise SettingsError(
                    f"the source {source} is for the model {source.model!r}, which follows {champion!r} and "
                    "learns what that learns: have the source for that one"
                )
            if source.model not in self._served:
                self._log.info("a model is made for a source", model=source.model, source=str(source))
                await self.create(source.model)

    def _keep_private(self) -> None:
        """Take from others what an older release let them do with files."""
        data_dir = self.settings.data_dir
        left = [path for one in ("lock", "format", "models") for path in keep_private(data_dir / one)]
        if left:
            self._log.warning(
                "others may read this, and it belongs to another user", path=str(left[0]), n=len(left)
            )

    async def close(self) -> None:
        """Apply all that is queued, and save every model; may be called again."""
        self._closing = True
        await self._changes.ended()
        if not self.failed:
            await self._save_all()
        await self._let_all_go()

    async def _save_all(self) -> None:
        """Save every model, or as many as there is time for: the journals have all that they know."""
        await save_all(self.all(), self.stop_by, self.settings.grace_seconds)

    async def _let_all_go(self) -> None:
        models, self._served = self.all(), {}
        self._challengers.clear()
        await each(models, ServedModel.let_go)
        if self._common is not None:
            await self._common.close()
        if self._lock is not None:
            self._lock.release()

    # -- making and deleting ---------------------------------------------------------------------------

    async def create(self, name: str, **own: Unpack[NewModelSettings]) -> ServedModel:
        """Make a model.

        Parameters
        ----------
        name
            Its name.
        **own
            Settings of its own; the service's stand in for the others.

        Raises
        ------
        ModelExistsError
            Where one has that name.
        TooLargeError
            Where it does not fit into memory.
        NoDescriptorsError
            Where no more models may be open; it names the limit.
        SettingsError
            For an interaction with a field that the schema ignores or refuses.
        """
        config = ModelConfig.of(self.settings, own)
        check_room(config.bits, config.lanes)
        return await self._make(name, partial(begin_model, config, begin=self._beginning(name)))

    async def create_from_file(self, name: str, file: Path) -> ServedModel:
        """Make a model of a saved one, which becomes its first snapshot.

        Raises
        ------
        ModelExistsError
            Where one has that name.
        SnapshotError
            Where the file is no saved model.
        TooLargeError, NoDescriptorsError
            As for :meth:`create`; the file is read only when there is room for it.
        """
        bits, lanes = await asyncio.to_thread(size_of, file)
        check_room(bits, lanes)
        labelling = labelling_of(self.settings)
        return await self._make(name, partial(begin_model_from, file, labelling, begin=self._beginning(name)))

    async def delete(self, name: str) -> None:
        """Delete a model and all that is kept of it, after what is queued for it has been applied.

        Raises
        ------
        UnknownModelError
            Where there is none.
        HasChallengersError
            Where challengers follow it.
        OSError
            Where the disk refuses; it is served as before then.
        """
        if name in self._challengers and self.ready:
            challenger = self._challengers[name]
            await self._challengers.delete(challenger, self.get(challenger.champion.name))
            return
        served = self.get(name)
        if served.dependents.challengers or served.dependents.expected:
            names = ", ".join(repr(one.name) for one in served.dependents.challengers)
            raise HasChallengersError(
                f"{names or 'a challenger'} follows {name!r} and has no journal of its own: DELETE "
                "challengers first, or promote one"
            )
        journal = served.stored.journal
        with suppress(JournalClosedError):  # somebody else has deleted it
            await asyncio.to_thread(journal.hold)  # what is queued for it is to be committed yet
        if self.get(name) is not served:
            raise UnknownModelError(f"the model {name!r} has been deleted just now")
        try:
            gone = self.folder.take_away(name)  # what can fail comes first
        except BaseException:
            journal.release()
            raise
        del self._served[name]
        self._busy.add(name)
        await self._changes.run(self._end(served, gone))

    async def create_challenger(
        self, name: str, champion: str, start: Beginning, own: NewModelSettings
    ) -> Challenger:
        """Make a challenger, which learns what its champion learns.

        Parameters
        ----------
        name, champion
            Its name, and whom it follows.
        start
            Where it starts.
        own
            Its own settings; its champion's stand in for the others.

        Raises
        ------
        ModelExistsError, TooLargeError, NoDescriptorsError, SettingsError
            As for :meth:`create`.
        ChallengerSettingsError
            Where it asks for what its champion's rows do not hold.
        HasChallengersError
            Where as many follow already as may.
        """
        if champion in self._challengers:
            raise ChallengerError(
                f"{champion!r} is a challenger itself: follow {self._challengers[champion].champion.name!r}"
            )
        served = self.get(champion)
        self.check_free(name)
        check_descriptors(self.settings, len(self._served) + len(self._busy))
        return await self._challengers.make(self._shared, name, served, start, own)

    async def promote(self, champion: str, name: str) -> Promoted:
        """Let a challenger go on under its champion's name.

        Parameters
        ----------
        champion, name
            Both.

        Raises
        ------
        ChallengerError
            Where it does not follow that model, is not as far, or learns no more: nothing was changed.
        StorageError
            Where the journal takes no row: nothing was changed.
        """
        return await self._challengers.promote(self.get(champion), self.challenger(champion, name))

    def _beginning(self, name: str) -> Begin:  # noqa: ARG002 - where nodes share models, it is made by it
        """Return what writes the start of a model."""
        return begin_alone

    async def _make(self, name: str, begin_in: Callable[[Path], object]) -> ServedModel:
        """Make a model whose directory `begin_in` fills, and serve it; or nothing."""
        self.check_free(name)
        check_descriptors(self.settings, len(self._served) + len(self._busy))
        self._busy.add(name)
        return await self._changes.run(self._made(name, begin_in))

    async def _made(self, name: str, begin_in: Callable[[Path], object]) -> ServedModel:
        try:
            with explain_shortage(f"the model {name!r} cannot be made"), self.folder.workplace() as made:
                # The first model of a rule other than AdaGrad compiles its kernels, which takes some seconds.
                await asyncio.to_thread(begin_in, made)
                path = self.folder.install(made, name)
                try:
                    served = await self._serve(name, path)
                except BaseException:
                    self.folder.withdraw(name)
                    raise
        finally:
            self._busy.discard(name)
        settings = served.model.settings
        if "schema" in settings:  # it may be of thousands of fields
            settings["schema"] = f"of {len(served.model.schema.fields)} names"
        self._log.info("created", model=name, **settings)
        return served

    async def _end(self, served: ServedModel, gone: Path) -> None:
        """End what works for a model whose directory is one no longer, and remove that."""
        try:
            if self._sharing is not None:
                self._sharing.withdraw(served.name)
            await served.let_go()
            await asyncio.to_thread(self.folder.remove, [gone])
        finally:
            self._busy.discard(served.name)
        self._log.info("deleted", model=served.name)

    async def _checked(self, name: str, path: Path, challengers: Sequence[ChallengerPlace]) -> None:
        """Serve a stored model; it is said where the service's settings are others than its own."""
        self._warn_of_differences(name, (await self._serve(name, path, challengers)).config)

    async def _serve(self, name: str, path: Path, challengers: Sequence[ChallengerPlace] = ()) -> ServedModel:
        """Bring a model to where it was, and serve it; where that fails, nothing stays open."""
        sharing = self._sharing
        with explain_shortage(f"the model {name!r} cannot be opened"):
            served = await open_model(
                name, path, self._shared, shared=sharing is not None, challengers=challengers
            )
        if sharing is not None:
            try:
                with explain_shortage(f"the workers cannot be told of the model {name!r}"):
                    sharing.offer(name, served.model)
            except BaseException:
                sharing.withdraw(name)
                await served.let_go()
                raise
        self._served[name] = served
        served.begin_feed(self.feeding)
        self._challengers.update({one.name: one for one in served.dependents.challengers})
        return served

    @property
    def _shared(self) -> Common:
        assert self._common is not None  # noqa: S101 - nothing is served before the directory is open
        return self._common

    def _warn_of_differences(self, name: str, config: ModelConfig) -> None:
        """Warn where settings of the service that a model was made with have changed since."""
        for key, (stored, wanted) in config.differences(self.settings).items():
            self._log.warning("a stored setting wins", model=name, setting=key, stored=stored, wanted=wanted)
