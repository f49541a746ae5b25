"""Importing: whether the model that is there is the one that a start is to import."""

from __future__ import annotations

from pathlib import Path

import structlog

from nonzero import SettingsError
from nonzero_service.models.model_config import config_of, file_digest

__all__ = ["check_import"]


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
