"""What a data directory looks like from outside: the models in it, and the format that it is kept in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nonzero import SnapshotError
from nonzero_service.storage.files import sync_directory, write_durably

__all__ = ["begin", "has_begun", "models_in"]

FORMAT: Final = "1\n"


def has_begun(data_dir: Path) -> bool:
    """Whether a first start came to its end here.

    Raises
    ------
    SnapshotError
        Where the directory is kept in a format that this release does not know.
    """
    path = data_dir / "format"
    try:
        found = path.read_text()
    except FileNotFoundError:
        return False
    if found != FORMAT:
        raise SnapshotError(f"{path} says {found!r}, and this release knows {FORMAT!r}; use a newer one")
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
    if (directory / "journal.sqlite").exists():
        found = {directory.name: directory}
    else:
        has_begun(directory)
        places = sorted((directory / "models").glob("[a-z0-9]*"))
        found = {place.name: place for place in places if place.is_dir()}
    if name is not None:
        found = {name: found[name]} if name in found else {}
    if not found:
        which = "model" if name is None else f"model {name!r}"
        raise SnapshotError(
            f"{directory} is no data directory with a {which}: name the one that serve was given (--data-dir)"
        )
    return found
