"""Named models: open, create, delete, save, close. Each has a directory and a learner of its own.

``data_dir/models/<name>/`` holds ``model.json`` (:mod:`nonzero_service.models.origin`), journal and snapshots
(:mod:`nonzero_service.storage`) and the impressions (:mod:`nonzero_service.impressions`). A directory is made
whole under a name that starts with a dot, and then renamed; to be deleted, it is renamed first: so a kill
leaves a model there or not there. ``data_dir/lock`` keeps a second service away; ``data_dir/format`` is
written when the first start has made the model ``default``.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from nonzero import LogisticRegression
from nonzero_service.attribution import Attribution, rules_of
from nonzero_service.errors import ClosedError, ModelExistsError, NotReadyError, UnknownModelError
from nonzero_service.impressions.store import Impressions
from nonzero_service.learning.breaker import Bounds, Breaker
from nonzero_service.learning.fold import recalibration_entry, settings_entry
from nonzero_service.learning.holding import Gate
from nonzero_service.learning.idempotency import Turns
from nonzero_service.learning.learner import Learner
from nonzero_service.models.data_directory import begin, has_begun
from nonzero_service.models.learning_rules import AUTO
from nonzero_service.models.memory import check_room
from nonzero_service.models.names import FieldNames
from nonzero_service.models.origin import Origin, origin_of
from nonzero_service.models.recovery import Kept, recover, write_snapshot
from nonzero_service.models.replaying import ReplayProgress
from nonzero_service.models.served import ServedModel
from nonzero_service.models.slicing import Slices
from nonzero_service.models.snapshotting import Snapshooter
from nonzero_service.settings import Recalibrating, Settings
from nonzero_service.storage.files import sync_directory
from nonzero_service.storage.journal import Journal
from nonzero_service.storage.lock import DirectoryLock
from nonzero_service.storage.snapshots import Snapshots
from nonzero_service.workers.crew import Crew

__all__ = ["DEFAULT", "NAME", "Models"]

NAME: Final = "[a-z0-9][a-z0-9_-]{0,63}"
"""What a model may be named: a regular expression."""

DEFAULT: Final = "default"
"""The model that exists from the first start."""

LEARNING: Final = ("bits", "learning_rate", "optimizer", "interactions")
"""The service's settings that a model is made with."""


class Models:
    """All models of a service; used on the event loop.

    Parameters
    ----------
    settings
        Where they are kept, and the settings of models that are made without their own.
    on_failure
        Told when a model can learn no more until the process is started anew.
    crew
        The workers, which are told of each model; None: there are none.
    """

    def __init__(
        self, settings: Settings, on_failure: Callable[[Exception], None], crew: Crew | None = None
    ) -> None:
        self.settings = settings
        self.crew = crew or Crew(settings.model_copy(update={"workers": 1}))
        self._on_failure = on_failure
        self.directory = settings.data_dir / "models"
        self.ready = False
        self.failed = False
        """Whether something failed that only a new start mends: then nothing is saved at the end."""
        self._closing = False
        self._served: dict[str, ServedModel] = {}
        self._busy: set[str] = set()
        self._lock: DirectoryLock | None = None
        self._log = structlog.get_logger("models")

    # -- finding ---------------------------------------------------------------------------------------

    def get(self, name: str) -> ServedModel:
        """Return a model by its name.

        Raises
        ------
        UnknownModelError
            Where there is none.
        NotReadyError
            While the stored models are being opened.
        ClosedError
            When they are being closed.
        """
        served = self._served.get(name)
        if served is not None and self.ready:
            return served
        self.check_ready()
        if self._closing:
            raise ClosedError("the service is stopping; come again when it has been started anew")
        raise UnknownModelError(
            f"there is no model named {name!r}; GET /v1/models lists them, PUT /v1/models/{{name}} makes one"
        )

    def find(self, name: str) -> ServedModel | None:
        """Return a model by its name; None where there is none."""
        return self._served.get(name)

    def all(self) -> list[ServedModel]:
        """Return every model, by name."""
        return [self._served[name] for name in sorted(self._served)]

    def check_ready(self) -> None:
        """Raise :class:`NotReadyError` while the stored models are being opened."""
        if not self.ready:
            raise NotReadyError("the service is still opening its models; try again in a second")

    # -- opening and closing ---------------------------------------------------------------------------

    async def open(self) -> None:
        """Open every stored model; the first time, make the default one.

        Raises
        ------
        LockedError
            Where another process has the data directory; it names the process.
        SnapshotError, StorageError
            Where a stored model is damaged; the message names its file.
        OSError
            Where the data directory cannot be used.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = DirectoryLock(self.settings.data_dir)
        begun = has_begun(self.settings.data_dir)
        for path in sorted(self.directory.iterdir()):
            if path.name.startswith("."):
                await asyncio.to_thread(shutil.rmtree, path)
                continue
            self._warn_of_differences(path.name, origin_of(path))
            await self._serve(path.name, path)
        if not begun:
            if DEFAULT not in self._served:  # a kill may have come between it and the note
                trained = self.settings.import_file
                await (self.create(DEFAULT) if trained is None else self.create_from_file(DEFAULT, trained))
            begin(self.settings.data_dir)
        elif self.settings.import_file is not None:
            self._log.info("not imported: this is not the first start", file=str(self.settings.import_file))
        self.ready = True

    async def close(self) -> None:
        """Apply all that is queued, and save every model; may be called again."""
        self._closing = True
        for served in self.all():
            del self._served[served.name]
            if not self.failed:
                await served.save_at_end()
            await served.let_go()
        if self._lock is not None:
            self._lock.release()

    # -- making and deleting ---------------------------------------------------------------------------

    async def create(
        self,
        name: str,
        bits: int | None = None,
        learning_rate: Literal["auto"] | float | None = None,
        optimizer: str | None = None,
        interactions: Sequence[str] | None = None,
    ) -> ServedModel:
        """Make a model; the service's settings stand in for those that are None.

        Raises
        ------
        ModelExistsError
            Where one has that name.
        TooLargeError
            Where it does not fit into memory.
        """
        asked = {"bits": bits, "learning_rate": learning_rate, "optimizer": optimizer}
        own: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
        if learning_rate is not None or optimizer is not None:  # each stands in the other's place
            own = {"learning_rate": AUTO, "optimizer": AUTO} | own
        if interactions is not None:
            own["interactions"] = tuple(interactions)
        kept = {key: getattr(self.settings, key) for key in LEARNING}
        origin = Origin(created=datetime.now(UTC), own=frozenset(own), **(kept | own))
        check_room(origin.bits, origin.lanes)
        with self._named(name), self.workplace() as made:
            # The first model of a rule other than AdaGrad compiles its kernels, which takes some seconds.
            model = await asyncio.to_thread(origin.new_model)
            await asyncio.to_thread(_begin, made, origin, model)
            return await self._install(name, made)

    async def create_from_file(self, name: str, file: Path) -> ServedModel:
        """Make a model of a saved one, which becomes its first snapshot.

        Raises
        ------
        ModelExistsError
            Where one has that name.
        SnapshotError
            Where the file is no saved model.
        """
        with self._named(name), self.workplace() as made:
            model = await asyncio.to_thread(LogisticRegression.load, file)
            origin = Origin(created=datetime.now(UTC), bits=model.bits)
            await asyncio.to_thread(_begin, made, origin, model)
            return await self._install(name, made)

    async def delete(self, name: str) -> None:
        """Delete a model and all that is kept of it, after what is queued for it has been applied.

        Raises
        ------
        UnknownModelError
            Where there is none.
        """
        served = self.get(name)
        del self._served[name]
        self.crew.withdraw(name)
        with self._named(name), self.workplace() as gone:
            await served.let_go()
            served.directory.rename(gone / name)
            sync_directory(self.directory)
        self._log.info("deleted", model=name)

    def check_free(self, name: str) -> None:
        """Raise :class:`ModelExistsError` where a name is taken."""
        if name in self._served or name in self._busy:
            raise ModelExistsError(
                f"there is a model named {name!r} already; DELETE it first, or take another name"
            )

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Give an empty directory beside the models, which goes with the block (or with the next start)."""
        path = Path(tempfile.mkdtemp(prefix=".", dir=self.directory))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Keep a name for the one who makes or deletes a model of it."""
        self.check_free(name)
        self._busy.add(name)
        try:
            yield
        finally:
            self._busy.discard(name)

    async def _install(self, name: str, made: Path) -> ServedModel:
        """Give the directory of a new model its name, and serve it."""
        path = made.rename(self.directory / name)
        path.chmod(0o755)
        sync_directory(self.directory)
        served = await self._serve(name, path)
        self._log.info("created", model=name, **served.model.settings)
        return served

    async def _serve(self, name: str, path: Path) -> ServedModel:
        """Bring a model to where it was, and serve it."""
        settings = self.settings
        impressions = await asyncio.to_thread(Impressions, path / "impressions", rules_of(settings))
        with ReplayProgress(name) as progress:
            kept = await asyncio.to_thread(recover, path, settings.durability, progress, impressions.seen)
        await asyncio.to_thread(_recalibrate, kept, settings.recalibration)
        await asyncio.to_thread(kept.model.share if self.crew.sharing else kept.model.table.take)
        bounds = Bounds(settings.breaker_click_odds, settings.breaker_unseen, settings.breaker_loss)
        breaker = Breaker(kept.model, bounds) if settings.breaker == "on" else None
        gate = Gate(breaker, kept.held_since, kept.held, kept.held_reason)
        learner = Learner(name, kept.model, kept.journal, settings.queue_bytes, self._on_failure, gate)
        snapshooter = Snapshooter(
            name,
            kept,
            learner,
            settings.journal_retention,
            settings.snapshot_bytes,
            settings.snapshot_seconds,
            impressions.sync_states,
        )
        attribution = Attribution(name, impressions, learner, settings.impressions)
        slices = Slices(settings.sliced_fields)
        if slices.fields:
            learner.applier.learned = slices.learned
        names = FieldNames(kept.model.notes, slices, kept.model.schema)
        served = ServedModel(
            name, path, origin_of(path), kept, learner, snapshooter, Turns(), attribution, names, slices
        )
        self._served[name] = served
        self.crew.offer(name, kept.model)
        return served

    def _warn_of_differences(self, name: str, origin: Origin) -> None:
        """Warn where settings of the service that a model was made with have changed since."""
        if origin.learning_rate is None:
            return
        for key in LEARNING:
            stored, wanted = getattr(origin, key), getattr(self.settings, key)
            if key not in origin.own and stored != wanted:
                self._log.warning(
                    "a stored setting wins", model=name, setting=key, stored=stored, wanted=wanted
                )


def _recalibrate(kept: Kept, wanted: Recalibrating) -> None:
    """Begin to learn a map of the predictions, where one is wanted and there is none; serve by it, or not."""
    if wanted != "off" and kept.model.recalibration() is None:
        kept.journal.append([recalibration_entry()])
        kept.model.begin_recalibration()
    kept.model.recalibrating = wanted == "on"


def _begin(directory: Path, origin: Origin, model: LogisticRegression) -> None:
    """Write what a new model starts from: its origin, its journal's first row, a trained one's snapshot."""
    origin.write(directory)
    with Journal(directory, sequence=model.examples) as journal:
        position = journal.append([settings_entry(model)])
        snapshots = Snapshots(directory / "snapshots")
        if model.examples:
            write_snapshot(snapshots, position, journal.digest_at(position), model)
