"""Beginning a model: what its directory holds before it is opened for the first time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from nonzero import LogisticRegression
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.models.model_config import ModelConfig, file_digest
from nonzero_service.models.recovery import write_snapshot
from nonzero_service.settings.schema_text import read_schema
from nonzero_service.writer.entries import settings_entry

__all__ = ["begin_model", "begin_model_from"]


def begin_model(config: ModelConfig, directory: Path) -> None:
    """Write what a new model of some settings starts from."""
    _write(directory, config, config.new_model())


def begin_model_from(file: Path, directory: Path) -> None:
    """Write what a model of a trained file starts from.

    Nothing of it stays in memory: it is read again, from its first snapshot, when the model is opened.
    """
    model = LogisticRegression.load(file)
    schema = model.schema
    config = ModelConfig(
        created=datetime.now(UTC),
        bits=model.bits,
        file=file_digest(file),
        schema=read_schema(schema),
        namespace_separator=schema.namespace_separator,
    )
    _write(directory, config, model)


def _write(directory: Path, config: ModelConfig, model: LogisticRegression) -> None:
    """Write a new model's configuration and its journal's first row; of a trained one, a snapshot too."""
    config.write(directory)
    with Journal(directory, sequence=model.examples) as journal:
        position = journal.append([settings_entry(model)])
        snapshots = SnapshotFolder(directory / "snapshots")
        if model.examples:
            write_snapshot(snapshots, position, journal.digest_at(position), model)
