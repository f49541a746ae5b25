"""A data directory from outside: the models in it, and the format that it is kept in; nothing is changed.

A start and ``nonzero verify`` look at it by the same function, so that they agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nonzero import SnapshotError
from nonzero.persistence.whole_files import sync_directory
from nonzero_service.journal.files import check_usable, write_durably
from nonzero_service.journal.lock import check_lock
from nonzero_service.models.folder import UNFINISHED
from nonzero_service.models.model_config import ModelConfig, config_of

FORMAT: Final = "1\n"

WRITTEN: Final = ("lock", "mark", "journal.sqlite", "journal.sqlite-wal")
"""What a start opens in a model's directory to write to it."""

NAME: Final = "[a-z0-9][a-z0-9_-]{0,63}"
"""What a model may be named: a regular expression."""


@dataclass
class DataDirectory:
    """What is in a data directory."""

    begun: bool
    """Whether a first start came to its end here."""
    models: dict[str, Path] = field(default_factory=dict)
    """The directories of the models, by name."""
    unfinished: list[Path] = field(default_factory=list)
    """What a kill left of models that were being made or removed."""
    passed_over: list[Path] = field(default_factory=list)
    """What is among the models and has no name of one: other programs put it there."""


def look(data_dir: Path) -> DataDirectory:
    """Look at a data directory.

    Raises
    ------
    SnapshotError
        Where it is kept in a format that this release does not know, or is not whole; it names what is wrong.
    StorageError
        Where no process could lock it.
    OSError
        Where it cannot be read.
    """
    check_lock(data_dir)
    found = DataDirectory(_has_begun(data_dir))
    folder = data_dir / "models"
    if not folder.exists() and found.begun:
        raise SnapshotError(f"{folder} is gone with all models in it; restore the directory from a backup")
    if folder.exists() and not folder.is_dir():
        raise SnapshotError(f"{folder} is no directory; move it away, and restore it from a backup")
    places: dict[Path, Path] = {}
    for path in sorted(folder.iterdir()) if folder.exists() else []:
        if re.fullmatch(NAME, path.name):
            if not path.is_dir():
                raise SnapshotError(f"{path} is not the directory of a model; move it away")
            other = places.setdefault(path.resolve(), path)
            if other is not path:  # one process has a model at a time, and so has one name
                raise SnapshotError(f"{path} and {other} are one directory; remove the symbolic link")
            found.models[path.name] = path
        else:
            ours = path.name.startswith(UNFINISHED) and path.is_dir() and not path.is_symlink()
            (found.unfinished if ours else found.passed_over).append(path)
    return found


def check_model(directory: Path) -> ModelConfig:
    """Check what a start needs of a model's directory beside its journal and snapshots.

    Returns
    -------
    ModelConfig
        The model's configuration.

    Raises
    ------
    SnapshotError, StorageError, OSError
        Where a start is refused for it.
    """
    config = config_of(directory)
    check_lock(directory)
    impressions = directory / "impressions"
    for place in (directory / "snapshots", impressions):
        if place.exists() and not place.is_dir():
            raise SnapshotError(f"{place} is no directory; move it away")
    segments = [path for path in impressions.glob("*") if path.suffix in (".rows", ".states")]
    for path in (directory, *map(directory.joinpath, WRITTEN), *segments):
        check_usable(path)
    return config


def _has_begun(data_dir: Path) -> bool:
    """Whether a first start came to its end here."""
    path = data_dir / "format"
    try:
        kept = path.read_bytes()
    except FileNotFoundError:
        return False
    except IsADirectoryError as error:
        raise SnapshotError(f"{path} is no file; move it away, and restore it from a backup") from error
    if kept != FORMAT.encode():
        said = kept[:32].decode(errors="replace")
        raise SnapshotError(
            f"{path} says {said!r}, and this release knows {FORMAT!r}; use a newer one, or restore the file"
        )
    return True


def begin(data_dir: Path) -> None:
    """Note that the first start came to its end."""
    write_durably(data_dir / "format", FORMAT.encode())
    sync_directory(data_dir)


def models_in(directory: Path, name: str | None = None) -> dict[str, Path]:
    """Return the directories of the models in a data directory, by name; a model's own is taken too.

    Raises
    ------
    SnapshotError
        Where there is none, or none of that name.
    """
    found = look_for(directory, name).models
    if not found:
        raise _none_in(directory, name)
    return found


def look_for(directory: Path, name: str | None = None) -> DataDirectory:
    """Look at a data directory, for one model or all; at a model's own directory too.

    Raises
    ------
    SnapshotError
        Where it is no data directory, or has no model of that name.
    """
    if (directory / "journal.sqlite").exists():
        found = DataDirectory(begun=True, models={directory.name: directory})
    else:
        check_usable(directory / "lock")
        found = look(directory)
    if name is not None:
        found.models = {name: found.models[name]} if name in found.models else {}
    if not found.models and (name is not None or not found.begun):
        raise _none_in(directory, name)
    return found


def _none_in(directory: Path, name: str | None) -> SnapshotError:
    which = "model" if name is None else f"model {name!r}"
    return SnapshotError(
        f"{directory} is no data directory with a {which}: name the one that serve was given (--data-dir)"
    )
