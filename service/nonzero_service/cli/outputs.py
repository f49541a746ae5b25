"""Where commands write: files that are whole or not there, and standard output."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from nonzero.persistence.whole_files import whole_file
from nonzero.sources.compression import packing
from nonzero.sources.files import STDIN


@contextmanager
def opened(output: str) -> Iterator[BinaryIO]:
    """Open what is written; packed as its name says. ``-`` is standard output.

    Parameters
    ----------
    output
        The file's name.

    Yields
    ------
    BinaryIO
        To write to. Where the block ends by an exception, a file that was there stays as it was.
    """
    if output == STDIN:
        with open(os.dup(1), "wb") as out:  # noqa: PTH123 - a descriptor, which is no path
            yield out
        return
    with whole_file(output) as file, packing(file, output) as out:
        yield out


def check_new(outputs: Mapping[str, str], read: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse files to write that have no directory, are one, are read as well, or would be replaced.

    Parameters
    ----------
    outputs
        The options that name them, and their names.
    read
        What the command reads.
    overwrite
        Whether they may be replaced; what is no regular file, such as a pipe, always is written to.

    Raises
    ------
    click.BadParameter
        It names the way out.
    """
    for option, name in outputs.items():
        if name == STDIN:
            continue
        path = Path(name)
        if not path.absolute().parent.is_dir():
            raise click.BadParameter(f"there is no directory {path.absolute().parent}", param_hint=option)
        if path.is_dir():
            raise click.BadParameter(f"{name} is a directory; name a file in it", param_hint=option)
        if any(path.exists() and path.samefile(one) for one in read):
            raise click.BadParameter(f"{name} is a file that is read; name another", param_hint=option)
        if path.is_file() and not overwrite:
            raise click.BadParameter(
                f"{name} is there already; name another file, or replace it by --overwrite",
                param_hint=option,
            )
