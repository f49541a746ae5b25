"""The FILE arguments of a command as files, here and in stores: patterns expanded, directories refused."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from nonzero.sources.files import STDIN
from nonzero.sources.places import Named, Place, Remote, is_url, place_of

_NUMBERS: Final = re.compile(r"(\d+)")
_PARTITION: Final = re.compile(r"([^/=]+)=[^/]*/")
"""A folder that is named by a column and its value, as Hive and Spark have it."""

_SHOWN: Final = 3
"""So many files of a directory are named."""


def files_named(arguments: Sequence[str], hint: str = "FILE") -> list[Named]:
    """Return the files that arguments name, in their order; those of a pattern by their numbers.

    A pattern has ``*``, ``?`` or ``[``, and no file has that very name; ``**`` stands for any folders.
    Those of a store are asked of it. A file that is given twice is said on standard error: it may be meant.
    So are columns that stand in the names of folders alone, which nobody reads.

    Parameters
    ----------
    arguments
        Names, URLs, patterns and ``-``.
    hint
        The argument or option that they were given to.

    Raises
    ------
    click.BadParameter
        For a pattern that nothing fits, for a directory, and for standard input that is given twice.
    StoreError
        Where a store does not tell what fits a pattern.
    """
    files: list[Named] = []
    for argument in arguments:
        files += _expanded(argument, hint)
    seen: dict[Remote | tuple[int, int], Named] = {}
    for file in files:
        if file == STDIN:
            if files.count(STDIN) > 1:
                raise click.BadParameter("standard input is given twice; it is read once", param_hint=hint)
            continue
        place = _identity(place_of(file))
        if place is not None:
            if place in seen:
                first = seen[place]
                again = "twice" if first == file else f"twice, as {first} too"
                click.echo(f"{file} is given {again}: its examples are read each time", err=True)
            seen.setdefault(place, file)
    _say_partitions(files)
    return files


def _identity(place: Place) -> Remote | tuple[int, int] | None:
    """Return what tells a file from others, whatever it is called; nothing for what is no file."""
    if isinstance(place, Remote):
        return place
    return (place.stat().st_dev, place.stat().st_ino) if place.is_file() else None


def _say_partitions(files: Sequence[Named]) -> None:
    """Say which columns stand in the names of folders: they are in no file, and none is made of them."""
    found = dict.fromkeys(name for file in files for name in _PARTITION.findall(str(file)))
    if found:
        click.echo(
            f"{', '.join(found)}: in the names of folders, which are not read; where it is to be a feature, "
            "write it into the files",
            err=True,
        )


def file_named(argument: str) -> Named:
    """Return the one file that an argument names.

    Parameters
    ----------
    argument
        A name, a pattern or ``-``.

    Raises
    ------
    click.BadParameter
        As :func:`files_named` does, and for a pattern that several fit.
    """
    files = _expanded(argument)
    if len(files) > 1:
        raise click.BadParameter(
            f"{argument} is {len(files)} files, {files[0]} to {files[-1]}; give one", param_hint="FILE"
        )
    return files[0]


def _expanded(argument: str, hint: str = "FILE") -> Sequence[Named]:
    """Return the files that one argument names."""
    if argument == STDIN:
        return [argument]
    if is_url(argument):
        return _stored(place_of(argument), hint)
    path = Path(argument)
    if path.is_dir():
        raise click.BadParameter(f"{argument} is a directory; {_way_into(path)}", param_hint=hint)
    if path.exists() or not glob.has_magic(argument):
        return [argument]
    found = [name for name in glob.glob(argument, recursive=True) if not Path(name).is_dir()]  # noqa: PTH207 - ** and names as they are given
    if not found:
        raise click.BadParameter(
            f"no file fits {argument}; the pattern is held against names in {path.parent.resolve()}",
            param_hint=hint,
        )
    return sorted(found, key=_by_number)


def _stored(place: Place, hint: str) -> Sequence[Named]:
    """Return the files of a store that a URL names."""
    if not isinstance(place, Remote):
        return _expanded(str(place), hint)
    if not place.is_pattern:
        return [place]
    from nonzero.sources.stores import found_by

    found = found_by(place)
    if not found:
        raise click.BadParameter(f"no file fits {place}", param_hint=hint)
    return sorted(found, key=lambda one: _by_number(str(one)))


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return what names are ordered by: day_2 comes before day_10."""
    parts = _NUMBERS.split(name)
    return [(int(part), part) if part.isdigit() else (0, part) for part in parts]


def _way_into(folder: Path) -> str:
    """Say how the files of a directory are given."""
    files = sorted((one.name for one in folder.iterdir() if one.is_file()), key=_by_number)
    if not files:
        return "there is no file in it"
    endings = dict.fromkeys("".join(Path(name).suffixes[-2:]) for name in files)
    pattern = folder / f"*{next(iter(endings))}"
    others = ", …" if len(files) > _SHOWN else ""
    return f"give its files, such as '{pattern}'; it has {', '.join(files[:_SHOWN])}{others}"
