"""What a node has of the cluster's models on its own disk: a cache, which may be lost.

``models/NAME/`` holds ``model.json``, snapshots, and ``id``: which model of the database it is of. All of it
is in the database too. So an empty directory is filled, and one of another model is put away. What is put
away because that model was removed is removed; else it is kept under a name that no model can have, for it
may be the last that there is of a database which was lost.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from nonzero import LogisticRegression, SnapshotError
from nonzero.persistence.snapshot import read_metadata
from nonzero.persistence.whole_files import sync_directory
from nonzero_service.journal.errors import PrunedError
from nonzero_service.journal.files import ensure_directory, write_durably
from nonzero_service.journal.postgres.catalogue import Catalogue, CatalogueModel, Draft
from nonzero_service.journal.postgres.snapshots import SharedSnapshot, SharedSnapshots
from nonzero_service.journal.snapshots import SnapshotFile, SnapshotFolder
from nonzero_service.models.data_directory import NAME
from nonzero_service.models.folder import ModelFolder
from nonzero_service.models.model_config import FILE, ModelConfig
from nonzero_service.models.snapshot_files import needed_from, say_damaged, write_snapshot
from nonzero_service.writer.entries import settings_entry

IDENTITY: Final = "id"
"""The file in a model's directory that says of which model of the database it is."""

SNAPSHOTS: Final = "snapshots"

_TRIES: Final = 3
"""How often the newest snapshot may be given up while it is fetched, because there is a newer one."""


class CachedIdentity(NamedTuple):
    """Of which model of the database a directory is."""

    id: int
    """The model's number in the catalogue."""
    identity: bytes

    @classmethod
    def of(cls, directory: Path) -> CachedIdentity | None:
        """Read it; None where the directory is none of a cluster's model.

        Raises
        ------
        OSError
            Where it cannot be read.
        """
        try:
            said = json.loads((directory / IDENTITY).read_bytes())
            return cls(int(said["id"]), bytes.fromhex(said["identity"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            structlog.get_logger("models").error(
                "it is not known of which model this is", path=str(directory / IDENTITY)
            )
            return None

    def write(self, directory: Path) -> None:
        """Write it into a directory."""
        text = json.dumps({"id": self.id, "identity": self.identity.hex()})
        write_durably(directory / IDENTITY, f"{text}\n".encode())


class ModelCache:
    """A node's directories of the cluster's models; from one thread a model at a time.

    Parameters
    ----------
    folder
        Where they are.
    catalogue, snapshots
        The cluster's.
    """

    def __init__(self, folder: ModelFolder, catalogue: Catalogue, snapshots: SharedSnapshots) -> None:
        self.folder = folder
        self.catalogue = catalogue
        self.snapshots = snapshots
        self._log = structlog.get_logger("models")

    def begin(
        self, term: int, name: str, directory: Path, config: ModelConfig, model: LogisticRegression
    ) -> CatalogueModel:
        """Make a model in the database, and what a node has of it in a directory.

        Parameters
        ----------
        term
            Under which it is made.
        name
            Its name.
        directory
            An empty one, which gets the model's name afterwards. Where that cannot be had, nothing is lost:
            what is in it is brought again.
        config, model
            What it starts from.

        Raises
        ------
        ModelExistsError, FencedError, OutcomeUnknownError, JournalUnreachableError, DiskFullError, OSError
            As :meth:`Catalogue.create` has it.
        """
        draft = Draft.of(name, config.text, settings_entry(model), model.examples)
        config.write(directory)
        snapshots, file = SnapshotFolder(directory / SNAPSHOTS), None
        if model.examples:
            file = write_snapshot(snapshots, 1, draft.digest, model.packed(copied=False)).path
        made = self.catalogue.create(term, draft, file)
        CachedIdentity(made.id, made.identity).write(directory)
        return made

    def bring(self, model: CatalogueModel) -> Path:
        """Have on this disk what a model is opened from; return its directory.

        The newest snapshot here stays, where it is of the model's history and the rows behind it are held
        still and are fewer than a newer snapshot's bytes. Else the newest one that the nodes share is
        fetched; where that is damaged, the one before. Where there is none, the journal has every row.

        A kill leaves nothing that the next call does not mend.

        Parameters
        ----------
        model
            Which.

        Raises
        ------
        SnapshotError
            Where the directory has a journal of its own.
        DiskFullError
            Where there is no room for a snapshot; what was here stays.
        JournalUnreachableError
            Where the database does not answer.
        OSError
            Where the disk refuses.
        """
        directory = self._directory(model)
        folder = SnapshotFolder(directory / SNAPSHOTS)
        folder.tidy()
        own = self._own(model, folder)
        for tried in range(_TRIES):
            try:
                self._fetch_newest(model, own, folder)
                break
            except PrunedError:
                if tried == _TRIES - 1:
                    raise
        return directory

    def put_away_others(self, models: Collection[CatalogueModel]) -> None:
        """Put away what this disk has of models that the cluster does not have, or no longer.

        Raises
        ------
        SnapshotError
            Where a directory has a journal of its own.
        JournalUnreachableError
            Where the database does not answer.
        OSError
            Where the disk refuses.
        """
        known = {model.name: model for model in models}
        ensure_directory(self.folder.directory)
        for path in sorted(self.folder.directory.iterdir()):
            if re.fullmatch(NAME, path.name) and path.is_dir() and path.name not in known:
                _refuse_journal(path)
                self._put_away(path)

    def remove(self, model: CatalogueModel) -> None:
        """Remove what this disk has of a model that was removed, when nothing works for it any more.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        found = CachedIdentity.of(self.folder.directory / model.name)
        if found is not None and found.identity == model.identity:
            self.folder.remove([self.folder.take_away(model.name)])

    # -- the directory ---------------------------------------------------------------------------------

    def _directory(self, model: CatalogueModel) -> Path:
        """Return the directory of a model; it is made, and another's put away, where that is needed."""
        path = self.folder.directory / model.name
        said = CachedIdentity(model.id, model.identity)
        if path.exists():
            _refuse_journal(path)
            if CachedIdentity.of(path) == said:
                config = path / FILE
                if not config.exists() or config.read_text() != model.config:
                    write_durably(config, model.config.encode())
                return path
            self._put_away(path)
        ensure_directory(self.folder.directory)
        with self.folder.workplace() as made:
            write_durably(made / FILE, model.config.encode())
            said.write(made)
            return self.folder.install(made, model.name)

    def _put_away(self, path: Path) -> None:
        found = CachedIdentity.of(path)
        if found is not None and self.catalogue.is_removed(found.identity):
            self.folder.remove([self.folder.take_away(path.name)])
            self._log.info("removed: the cluster has removed this model", path=str(path))
            return
        to = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        path.rename(to)
        sync_directory(self.folder.directory)
        self._log.warning(
            "put away: the cluster has no such model, or another of this name",
            path=str(path),
            to=str(to),
        )

    # -- snapshots -------------------------------------------------------------------------------------

    def _own(self, model: CatalogueModel, folder: SnapshotFolder) -> SnapshotFile | None:
        """Return the newest snapshot here that the model can be opened from; put aside what is of no use."""
        for snapshot in folder.all():
            try:
                notes: dict[str, Any] = read_metadata(snapshot.path)["notes"]
                first, noted = needed_from(snapshot), str(notes["journal_digest"])
            except (SnapshotError, KeyError, TypeError) as error:
                damaged = error if isinstance(error, SnapshotError) else SnapshotError(repr(error))
                say_damaged(snapshot, damaged)
                folder.put_aside(snapshot)
                continue
            held = self.catalogue.chain_at(model.id, snapshot.position)
            if held.digest is not None and held.digest.hex() == noted:
                if first > held.pruned:
                    return snapshot
            elif snapshot.position > held.pruned:
                self._log.error(
                    "a snapshot is of another history than the database, and was put aside: rows that this "
                    "node has learned from are not there",
                    model=model.name,
                    path=str(snapshot.path),
                    position=snapshot.position,
                    ends=held.tip,
                )
                folder.put_aside(snapshot)
        return None

    def _fetch_newest(self, model: CatalogueModel, own: SnapshotFile | None, folder: SnapshotFolder) -> None:
        """Fetch the newest snapshot that is whole and worth it."""
        for shared in self.snapshots.all(model.id):
            if own is not None and not self._saves(model, own, shared):
                return
            try:
                self._fetch(shared, folder)
            except SnapshotError as error:
                self._log.error(
                    "a shared snapshot is damaged; the one before it takes over",
                    model=model.name,
                    position=shared.position,
                    reason=str(error),
                )
            else:
                self._log.info(
                    "fetched a snapshot", model=model.name, position=shared.position, bytes=shared.nbytes
                )
                return

    def _saves(self, model: CatalogueModel, own: SnapshotFile, shared: SharedSnapshot) -> bool:
        """Whether to fetch a snapshot is less than to read the rows that it is ahead by."""
        if shared.position <= own.position:
            return False
        return self.catalogue.row_bytes(model.id, own.position, shared.position) > shared.nbytes

    def _fetch(self, shared: SharedSnapshot, folder: SnapshotFolder) -> None:
        def write(path: Path) -> None:
            self.snapshots.fetch(shared, path)
            LogisticRegression.load(path)  # what was sent may have been damaged before

        folder.write(shared.position, write)


def _refuse_journal(path: Path) -> None:
    """Refuse a directory that is no cache."""
    if (path / "journal.sqlite").exists():
        raise SnapshotError(
            f"{path} has a journal of its own, of a service without --journal: it is no cache of a cluster's "
            "model. Name another --data-dir; to bring that model into the cluster, PUT its newest snapshot"
        )
