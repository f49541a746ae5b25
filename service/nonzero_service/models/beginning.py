"""Beginning a model: what its directory holds before it is opened for the first time, and of which file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from nonzero import LogisticRegression, SettingsError
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.model_config import ModelConfig, config_of, file_digest
from nonzero_service.models.snapshot_files import write_snapshot
from nonzero_service.schema_text import read_schema
from nonzero_service.writer.entries import settings_entry
from nonzero_service.writer.kept_joining import JOINING_NOTE
from nonzero_service.writer.pairing import PAIRING_NOTE
from nonzero_service.writer.sequences import BEFORE, REACHED

Begin = Callable[[Path, ModelConfig, LogisticRegression], object]
"""Writes what a new model starts from into its directory, and the first row of its journal."""


def begin_alone(directory: Path, config: ModelConfig, model: LogisticRegression) -> None:
    """Begin a model whose journal is in its directory; of a trained one there is a snapshot too."""
    config.write(directory)
    with SqliteJournal(directory, sequence=model.examples) as journal:
        position = journal.append([settings_entry(model)])
        snapshots = SnapshotFolder(directory / "snapshots")
        if model.examples:
            write_snapshot(snapshots, position, journal.digest_at(position), model.packed(copied=False))


def begin_model(config: ModelConfig, directory: Path, begin: Begin = begin_alone) -> None:
    """Write what a new model of some settings starts from."""
    begin(directory, config, config.new_model())


def begin_model_from(
    file: Path, labelling: Mapping[str, Any], directory: Path, begin: Begin = begin_alone
) -> None:
    """Write what a model of a trained file starts from.

    `labelling` are the settings that say what becomes of its impressions.

    Nothing of it stays in memory: it is read again, from its first snapshot, when the model is opened.
    """
    model = LogisticRegression.load(file)
    # It may have been a challenger elsewhere, or have been fed by topics that nobody feeds this one from.
    for note in (BEFORE, REACHED, PAIRING_NOTE, JOINING_NOTE, SOURCES_NOTE):
        model.notes.pop(note, None)
    schema = model.schema
    config = ModelConfig(
        created=datetime.now(UTC),
        bits=model.bits,
        file=file_digest(file),
        schema=read_schema(schema),
        namespace_separator=schema.namespace_separator,
        **labelling,
    )
    begin(directory, config, model)


def check_import(file: Path, name: str, stored: Path | None) -> None:
    """Refuse to serve another model than the file that is to be imported, where there is one already.

    Parameters
    ----------
    file
        The file of a trained model.
    name
        The model that it is to become.
    stored
        The directory of the one that is there; None where it was deleted.

    Raises
    ------
    SettingsError
        Where it was not made of this file.
    SnapshotError
        Where its directory is none of a model.
    OSError
        Where the file cannot be read.
    """
    log = structlog.get_logger("models")
    if stored is None:
        log.warning("not imported: the model was deleted", model=name, file=str(file))
        return
    config = config_of(stored)
    if config.file == file_digest(file):  # the same start again, as of a container
        return
    if config.file is None and config.learning_rate is None:  # an older release did not note it
        log.warning("not imported: it is not known of which file the model is", model=name, file=str(file))
        return
    raise SettingsError(
        f"{file} is not imported: {stored} is a model already, and was not made of this file. To serve that "
        "model, start without --import (NONZERO_IMPORT_FILE). To serve the file, name another --data-dir; or "
        f"start without it, DELETE /v1/models/{name} and PUT the file in its place"
    )
